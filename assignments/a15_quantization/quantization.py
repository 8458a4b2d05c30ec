# quantization.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a15
# README.md explains the tasks. (a15_quantization, release 0c17b08baa61)

# %%
import torch
from common.quantization import dynamic_map
from torch import Tensor


# %% task="absmax_quantize"
def absmax_quantize(x: Tensor, bits: int = 8, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Codes (int8, x's shape) and float32 scales: x is about codes * scale.

    bits: 2 to 8. dim: reduced for the scales, which keep it with size 1; None: one scale, ().
    Raises ValueError for other bits, an empty x and numbers that are not finite. Source: Dettmers et al. 2022, section 2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="zeropoint_quantize"
def zeropoint_quantize(x: Tensor, bits: int = 8) -> tuple[Tensor, float, int]:
    """Codes (uint8), scale and zero point: x is about scale * (codes - zero point), and 0.0 is exact.

    Raises ValueError for bits outside of 2 to 8, an empty x and numbers that are not finite.

    Source: Jacob et al. 2018, section 2.1; Dettmers et al. 2022, section 2.1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="int8_matmul"
def int8_matmul(x: Tensor, w: Tensor) -> Tensor:
    """x w^T (M, N) in float32 by 8-bit codes, with a scale for each row of x and of w.

    x: (M, K), w: (N, K). Raises ValueError for shapes that do not fit. Source: Dettmers et al. 2022, section 3.1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="llm_int8_linear"
def llm_int8_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, threshold: float = 6.0) -> Tensor:
    """x weight^T + bias, (..., N): columns of x with an outlier in full precision, the others in int8.

    x: (..., K), weight: (N, K), bias: (N,). threshold: of |x|, itself included.
    Raises ValueError for shapes that do not fit. Source: Dettmers et al. 2022, section 3.2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="smooth"
def smooth(X_absmax: Tensor, W: Tensor | list[Tensor], alpha: float = 0.5) -> Tensor:
    """Factors s (K,), by which activations are divided and weights multiplied.

    X_absmax: (K,). W: (N, K), or several that read the same input. alpha: how much moves, in [0, 1].
    Raises ValueError for another alpha and shapes that do not fit. Source: Xiao et al. 2022, equation 4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="fold"
def fold(
    norm_weight: Tensor, norm_bias: Tensor | None, W: Tensor | list[Tensor], s: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | list[Tensor]]:
    """The norm's weight and bias divided by s, the weights multiplied by it.

    norm_weight, norm_bias, s: (K,). W: (N, K), or a list. Raises ValueError for shapes that do not fit.

    Source: Xiao et al. 2022, section 4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="nf4_codebook"
def nf4_codebook() -> Tensor:
    """The 16 levels of NF4, ascending, (16,) float32.

    Source: Dettmers et al. 2023 (QLoRA), section 3 and appendix E.
    """

    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="nf4_quantize"
def nf4_quantize(x: Tensor, block: int = 64) -> tuple[Tensor, Tensor]:
    """Two indices a byte, uint8 (ceil(n/2),), and the largest absolute value of each block, float32 (ceil(n/block),).

    Raises ValueError for an empty x, numbers that are not finite and a block below 1.

    Source: Dettmers et al. 2023, section 3; the packing is that of bitsandbytes.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="nf4_dequantize"
def nf4_dequantize(packed: Tensor, absmax: Tensor, shape: tuple[int, ...], block: int = 64) -> Tensor:
    """The tensor that these bytes stand for: float32 of this shape.

    Raises ValueError where bytes or maxima are not as many as the shape needs. Source: Dettmers et al. 2023, section 3.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="double_quantize"
def double_quantize(absmax: Tensor, block: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Codes uint8 (n,) into `dynamic_map()`, scales float32 (ceil(n/block),) and the mean that was taken away, ().

    absmax: (n,). Raises ValueError for no maxima, more dimensions and a block below 1.

    Source: Dettmers et al. 2023, section 3, double quantisation.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="double_dequantize"
def double_dequantize(codes: Tensor, scales: Tensor, mean: Tensor, block: int = 256) -> Tensor:
    """The maxima that these codes stand for, float32 (n,).

    Raises ValueError where there are not as many scales as the codes have blocks. Source: Dettmers et al. 2023, equation 6.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="bits_per_weight"
def bits_per_weight(block: int = 64, block2: int | None = None) -> float:
    """Bits a weight in NF4, scales included. Raises ValueError for blocks below 1.

    Source: Dettmers et al. 2023, section 3.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
