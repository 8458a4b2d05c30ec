"""Code that several assignments share. It is given, not graded: import it, read it, build on it."""

from common.probes import Choice, Clock, Constant, Delay, Echo, Match
from common.transformer import MLP, CausalSelfAttention, GPTConfig, TinyGPT

__all__ = [
    "MLP",
    "CausalSelfAttention",
    "Choice",
    "Clock",
    "Constant",
    "Delay",
    "Echo",
    "GPTConfig",
    "Match",
    "TinyGPT",
]
