# lora.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a16
# README.md explains the tasks. (a16_lora, release 07cb295c4d2a)

# %%
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from common.tiny_lm import TinyLM
from quantization import double_dequantize, double_quantize, nf4_dequantize, nf4_quantize
from torch import Tensor, nn


# %% task="LoRALinear"
class LoRALinear(nn.Module):
    """base(x) + alpha/r dropout(x) A^T B^T, where only A and B are trained.

    base: nn.Linear (in -> out), which is frozen. lora_A: (r, in), lora_B: (out, r). merged: whether base.weight holds them.
    Raises ValueError for r < 1. Source: Hu et al. 2021, section 4.1.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def merge(self) -> None:
        """Adds alpha/r B A to base.weight, once."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def unmerge(self) -> None:
        """Takes away what merge has added."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="merge"
def merge(model: nn.Module) -> None:
    """Merges every LoRALinear of a model."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="unmerge"
def unmerge(model: nn.Module) -> None:
    """Unmerges every LoRALinear of a model."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="inject"
def inject(
    model: nn.Module, targets: Sequence[str], r: int = 8, alpha: float = 16.0, dropout: float = 0.0
) -> list[str]:
    """Replaces the layers that are named, freezes all else, and returns the names.

    Raises ValueError where no layer is found and where a weight is shared. Source: Hu et al. 2021, section 4.2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="adapter_state_dict"
def adapter_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """A and B of every adapted layer, by name: detached copies on the CPU."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="load_adapter"
def load_adapter(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Puts a saved adapter into a model. Raises ValueError unless names and shapes fit, and for merged layers."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="trainable_parameters"
def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are; shared ones count once."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="QLoRALinear"
class QLoRALinear(nn.Module):
    """A low-rank path beside a base in NF4: x (..., in) -> (..., out).

    block: weights that share a scale. double: whether the scales are quantised as well, in blocks of 256.
    Raises ValueError for r < 1. Source: Dettmers et al. 2023, section 3, equation 5.
    """

    def __init__(
        self, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0, block: int = 64, double: bool = True
    ) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def weight(self) -> Tensor:
        """The base's weight (out, in), unpacked."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def dequantized(self) -> nn.Linear:
        """The base as a plain layer, with the weight that forward uses."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def merge(self) -> None:
        """Refuses: nothing can be added to codes."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="train_lora"
def train_lora(model: TinyLM, tokens: Tensor, mask: Tensor, steps: int, seed: int) -> dict[str, Tensor]:
    """An adapter of rank 4 on the attention projections, trained on next tokens.

    tokens: (N, T) int64. mask: (N, T-1) bool, True = tokens[:, t+1] counts. steps: each on 64 rows. seed: fixes all chance.

    Source: Hu et al. 2021, section 4.2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
