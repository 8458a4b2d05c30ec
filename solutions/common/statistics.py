"""The one table that a fair comparison needs: Student's t."""

import math


def t_quantile(level: float, df: int) -> float:
    """The number below which a t variable with df degrees of freedom stays with probability `level`.

    level: in (0, 1); 0.975 for the upper end of a 95% interval. df: at least 1. Found by bisection, to 1e-12.
    Source: the finite sums of Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """
    if not 0 < level < 1 or df < 1:
        raise ValueError(f"level={level} should be between 0 and 1, and df={df} at least 1")
    low, high = -1.0, 1.0
    while _below(low, df) > level:
        low *= 2
    while _below(high, df) < level:
        high *= 2
    while high - low > 1e-12 * max(1.0, abs(low)):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, df) < level else (low, middle)
    return (low + high) / 2


def _below(t: float, df: int) -> float:
    """The probability of staying below t."""
    angle = math.atan(t / math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, cosine if df > 1 else 0.0) if df % 2 else (1.0, 1.0)
    for k in range(3 if df % 2 else 2, df, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    within = 2 / math.pi * (angle + sine * total) if df % 2 else sine * total
    return (1 + within) / 2
