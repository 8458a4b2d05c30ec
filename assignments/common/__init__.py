"""Code that several assignments share. It is given: students import it, and may read it."""

from common.probes import Choice, Clock, Constant, Delay, Echo, Match

__all__ = ["Choice", "Clock", "Constant", "Delay", "Echo", "Match"]
