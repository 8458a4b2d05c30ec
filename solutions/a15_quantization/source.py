# %% [markdown] assignment="a15_quantization" title="Quantisation: int8, SmoothQuant, NF4" module="quantization" requires="torch, common.quantization, common.tiny_lm" summary="Store and multiply with few bits: absmax and zero point, int8 products, outliers taken out or smoothed away, NF4 and its second stage, code for code as the library does it." forbidden="trl, peft, bitsandbytes, unsloth, transformers, torch.quantize_per_tensor, torch.quantize_per_channel, torch.fake_quantize_per_tensor_affine, torch.ao, torch.quantization"
# # Quantisation: int8, SmoothQuant, NF4
#
# A weight in float32 takes 32 bits, and most of them say nothing that anybody would miss. In 8 bits a model needs a quarter of the memory, in 4 an eighth. The rounding is easy. What is hard is
# that one number a thousand times as large as the others decides the step for all of them, and large language models have such numbers, in their activations, always in the same few channels.
#
# Today you write both ends of the story: eight bits for products (with two cures for the outliers), and four bits for storage.
#
# 1. `absmax_quantize`: symmetric, with one scale
# 2. `zeropoint_quantize`: every code used, and 0 exact
# 3. `int8_matmul`: a product of whole numbers
# 4. `llm_int8_linear`: outliers go another way
# 5. `smooth`: outliers are moved into the weights
# 6. `fold`: so that nobody has to multiply at run time
# 7. `nf4_codebook`: sixteen levels for a bell curve
# 8. `nf4_quantize`: four bits a weight
# 9. `nf4_dequantize`: and back
# 10. `double_quantize`: the scales take room too
# 11. `double_dequantize`: and back
# 12. `bits_per_weight`: the bill
#
# **You need** the [transformer](../../docs/learn/a03_transformer.md)'s linear layers and norms. The [reading page](../../docs/learn/a15_quantization.md) says what to read, and draws the outliers.
#
# ```
# autograder check a15                  # all tasks: what holds, what to mend first
# autograder check a15.nf4_quantize     # one task
# autograder hint a15.nf4_quantize      # the next of its three hints
# ```
#
# ## What is given
#
# In `assignments/common/quantization.py`: `dynamic_map()`, the 256 levels of the second stage.
#
# ## What we keep of the papers, and what we leave out
#
# Kept: vector-wise int8 products and the mixed decomposition of LLM.int8() (Dettmers et al., 2022); SmoothQuant's migration (Xiao et al., 2022); NF4 and double quantisation of QLoRA (Dettmers et al., 2023). Left out: kernels, calibration over a
# data set (you are given the largest activations), GPTQ and AWQ, which choose the roundings.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | symmetric range | $-127 \ldots 127$ for 8 bits: $2^{b-1} - 1$ to both sides | $-128$ used too |
# | rounding | to the nearest, **half to even** (`torch.round`) | a cast, which cuts off |
# | scale | what a code is **multiplied** by; float32 | its inverse |
# | a tensor of zeros | scale 0 and codes 0; for the zero point scale 1 and zero point 0 | NaN |
# | `dim` | the dimension that is **reduced**; it stays, with size 1 | the one that is kept |
# | an outlier column | any $|x| \geq$ threshold, over all rows | $>$ |
# | NF4, halfway between two levels | the **lower** level | |
# | two NF4 codes in a byte | the **first** value in the high half | |
# | blocks | the flattened tensor, row by row; blocks cross rows, the last may be short | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# torch's own quantisation and the libraries: they are the tasks.
#
# ## What the tests look at
#
# Codes, one by one, away from ties and exactly at them; products with outliers in one column, in all and in none; bytes of odd lengths; and a language model whose activations have outliers, which speaks through your functions.

# %%
import torch
from common.quantization import dynamic_map
from torch import Tensor

# %% [markdown] task="absmax_quantize"
# ## `absmax_quantize`: symmetric, with one scale
#
# With $q = 2^{b-1} - 1$ (127 for 8 bits): scale $s = \max|x| / q$, codes $\text{round}(x/s)$, so that $s \cdot \text{code} \approx x$ and no error is larger than $s/2$.
#
# Return `(codes, scale)`: int8 of x's shape; float32. With `dim=None` there is one scale, of shape (). Otherwise one for each slice: the dimension `dim` is reduced and stays with size 1. Where all is 0, scale and codes are 0.
#
# Refused: bits outside of 2 to 8, an empty x, and numbers that are not finite.
#
# **By hand.** x = (1, −2.54, 0.5): s = 0.02, codes (50, −127, 25). With 3 bits q = 3, s = 0.8467, codes (1, −3, 1).


# %% task="absmax_quantize" points=3 minutes=15
def absmax_quantize(x: Tensor, bits: int = 8, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Codes (int8, x's shape) and float32 scales: x is about codes * scale.

    bits: 2 to 8. dim: reduced for the scales, which keep it with size 1; None: one scale, ().
    Raises ValueError for other bits, an empty x and numbers that are not finite. Source: Dettmers et al. 2022, section 2.
    """
    ### BEGIN SOLUTION
    if not 2 <= bits <= 8:
        raise ValueError(f"bits is {bits}: 2 to 8 are possible")
    if not x.numel() or not x.isfinite().all():
        raise ValueError("x should hold numbers, and all of them finite")
    x = x.float()
    largest = x.abs().max() if dim is None else x.abs().amax(dim=dim, keepdim=True)  # () or (..., 1, ...)
    scale = largest / (2 ** (bits - 1) - 1)
    codes = (x / scale.masked_fill(scale == 0, 1.0)).round()
    return codes.to(torch.int8), scale
    ### END SOLUTION


# %% [markdown] hints="absmax_quantize"
# 1. Which number should become the largest code?
# 2. Divide by the scale, round, cast; in this order. Where the scale is 0, everything is: divide by 1 there.
# 3. `scale = x.abs().amax(dim, keepdim=True) / (2 ** (bits - 1) - 1)`; `codes = (x / scale.masked_fill(scale == 0, 1)).round().to(torch.int8)`

# %% tests="absmax_quantize"
import warnings

import pytest
import torch
from asks import bits_of, quantized, smoothed
from common.quantization import dynamic_map

from autograder.testing import needs, task

FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings


def f32(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)


@task("absmax_quantize")
def test_three_numbers(student):
    """(1, -2.54, 0.5) has the codes 50, -127, 25 with 8 bits, and 1, -3, 1 with 3."""
    found = student.ask(quantized, "absmax_quantize", f32(1, -2.54, 0.5)).value
    assert found[0].tolist() == [50, -127, 25], "The codes are others."
    assert abs(float(found[1]) - 0.02) < 1e-6, "The scale is another."
    found = student.ask(quantized, "absmax_quantize", f32(1, -2.54, 0.5), 3).value
    assert found[0].tolist() == [1, -3, 1], "With 3 bits the largest code is 3."


@task("absmax_quantize")
def test_a_scale_for_each_row(student):
    """dim=1 is reduced: each row has its own scale, and a row of zeros has the scale 0."""
    found = student.ask(quantized, "absmax_quantize", f32([127, 0], [0, -12.7], [0, 0]), 8, 1).value
    assert found[0].tolist() == [[127, 0], [0, -127], [0, 0]], "The codes are others."
    assert torch.allclose(found[1], f32([1], [0.1], [0])), "The scales are others."


@task("absmax_quantize")
@needs("test_three_numbers")
def test_numbers_that_have_no_codes(student):
    """One bit, nothing, and infinity are refused."""
    student.absmax_quantize(f32(1, 2), 1).refused()
    student.absmax_quantize(f32()).refused()
    student.absmax_quantize(f32(1, float("inf"))).refused()


# %% [markdown] task="zeropoint_quantize"
# ## `zeropoint_quantize`: every code used, and 0 exact
#
# Behind a ReLU nothing is negative, and half of a symmetric range lies idle. So spread the codes over what is there, from $l = \min(x, 0)$ to $h = \max(x, 0)$; 0 is always inside, because padding is 0 and must stay 0.
#
# $$ s = \frac{h - l}{2^b - 1}, \qquad z = \text{round}(-l/s), \qquad \text{code} = \text{clip}\big(\text{round}(x/s) + z,\; 0,\; 2^b - 1\big) $$
#
# so that $x \approx s\,(\text{code} - z)$. Return `(codes, s, z)`: uint8, a float, an int. If all is 0: scale 1, zero point 0. Refused as above.
#
# **By hand.** x = (0, 1, 2.55): s = 0.01, z = 0, codes (0, 100, 255). x = (−1, 0, 1.55): z = 100, codes (0, 100, 255).


# %% task="zeropoint_quantize" points=3 minutes=15
def zeropoint_quantize(x: Tensor, bits: int = 8) -> tuple[Tensor, float, int]:
    """Codes (uint8), scale and zero point: x is about scale * (codes - zero point), and 0.0 is exact.

    Raises ValueError for bits outside of 2 to 8, an empty x and numbers that are not finite.

    Source: Jacob et al. 2018, section 2.1; Dettmers et al. 2022, section 2.1.
    """
    ### BEGIN SOLUTION
    if not 2 <= bits <= 8:
        raise ValueError(f"bits is {bits}: 2 to 8 are possible")
    if not x.numel() or not x.isfinite().all():
        raise ValueError("x should hold numbers, and all of them finite")
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = (high - low) / (2**bits - 1) or 1.0
    zero_point = round(-low / scale)
    codes = ((x.float() / scale).round() + zero_point).clamp(0, 2**bits - 1)
    return codes.to(torch.uint8), scale, zero_point
    ### END SOLUTION


# %% [markdown] hints="zeropoint_quantize"
# 1. Which code should 0.0 get, and does it get exactly that one?
# 2. Round x/s and −l/s each by itself. Their sum can leave the range by one: clip.
# 3. `low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)`; `scale = (high - low) / (2**bits - 1) or 1.0`; `zero = round(-low / scale)`; `((x / scale).round() + zero).clamp(0, 2**bits - 1)`

# %% tests="zeropoint_quantize"


@task("zeropoint_quantize")
def test_zero_is_exact(student):
    """(0, 1, 2.55) and (-1, 0, 1.55) have the codes 0, 100, 255, with zero points 0 and 100."""
    for x, zero in ((f32(0, 1, 2.55), 0), (f32(-1, 0, 1.55), 100)):
        codes, scale, point = student.ask(quantized, "zeropoint_quantize", x).value
        assert codes.tolist() == [0, 100, 255], "The codes are others."
        assert point == zero, "The zero point is another."
        assert abs(scale - 0.01) < 1e-6, "The scale is another."


@task("zeropoint_quantize")
def test_same_as_torch(student):
    """The codes are those of torch.quantize_per_tensor with the same scale and zero point."""
    x = torch.randn(200, generator=torch.Generator().manual_seed(0)) + 0.5
    codes, scale, point = student.ask(quantized, "zeropoint_quantize", x).value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop this function one day
        theirs = torch.quantize_per_tensor(x, scale, point, torch.quint8).int_repr()
    assert torch.equal(codes, theirs), "torch says other codes for your scale and zero point."


@task("zeropoint_quantize")
@needs("test_zero_is_exact")
def test_numbers_without_a_zero_point(student):
    """Nine bits and NaN are refused."""
    student.zeropoint_quantize(f32(1, 2), 9).refused()
    student.zeropoint_quantize(f32(1, float("nan"))).refused()


# %% [markdown] task="int8_matmul"
# ## `int8_matmul`: a product of whole numbers
#
# $XW^\top$ for x (M, K) and w (N, K): quantise each **row** of x and each **row** of w to 8 bits, multiply the codes as whole numbers, and multiply entry (m, n) of the result by both scales. A scale can leave a sum only if it
# is the same for all its terms, which is why it is rows and not columns.
#
# A sum of 4,096 products of codes goes up to 66 million: int8 and float16 cannot hold it, and the result has to be exact before it is scaled. Return float32. Shapes that do not fit are refused.
#
# **By hand.** x = (1, 0.5), w = (2, −4): codes (127, 64) and (64, −127) (63.5 is halfway, and 64 is even), their product 127·64 − 64·127 = 0. The true value is 0 too.


# %% task="int8_matmul" points=3 minutes=15 needs="absmax_quantize"
def int8_matmul(x: Tensor, w: Tensor) -> Tensor:
    """x w^T (M, N) in float32 by 8-bit codes, with a scale for each row of x and of w.

    x: (M, K), w: (N, K). Raises ValueError for shapes that do not fit. Source: Dettmers et al. 2022, section 3.1.
    """
    ### BEGIN SOLUTION
    if x.dim() != 2 or w.dim() != 2 or x.shape[1] != w.shape[1]:
        raise ValueError(f"x should be (M, K) and w (N, K), not {tuple(x.shape)} and {tuple(w.shape)}")
    x_codes, x_scale = absmax_quantize(x, dim=1)  # (M, K), (M, 1)
    w_codes, w_scale = absmax_quantize(w, dim=1)  # (N, K), (N, 1)
    product = x_codes.int() @ w_codes.int().T  # (M, N)  exact
    return product.float() * x_scale * w_scale.T
    ### END SOLUTION


# %% [markdown] hints="int8_matmul"
# 1. Over which dimension is the sum, and over which is a scale constant?
# 2. `dim=1` for both. Cast the codes to int32 before you multiply. One scale is a column, the other has to be a row.
# 3. `(x_codes.int() @ w_codes.int().T).float() * x_scale * w_scale.T`

# %% tests="int8_matmul"


@task("int8_matmul")
def test_rows_have_their_own_scales(student):
    """A row of thousands and a row of thousandths, by a row of ones: both products are right to 1%."""
    x, w = f32([1000, 2000], [0.001, 0.003]), f32([1, 1], [1, -1])
    found = student.int8_matmul(x, w).value
    assert torch.allclose(found, x @ w.T, rtol=0.01), "A row's products are off: whose scale does it have?"


@task("int8_matmul")
@needs("test_rows_have_their_own_scales")
def test_other_inner_sizes(student):
    """Inner sizes that differ are refused."""
    student.int8_matmul(torch.ones(2, 3), torch.ones(2, 4)).refused()


# %% [markdown] task="llm_int8_linear"
# ## `llm_int8_linear`: outliers go another way
#
# A column of x in which **any** |entry| is at least `threshold`, over all leading dimensions, is an outlier column. The result is
#
# - the product of the outlier columns with their weights, in full precision, plus
# - `int8_matmul` of all the rest (the outlier columns set to 0 in x, or left out on both sides: both are right), plus
# - the bias, if there is one.
#
# Which columns those are is decided anew at each call. x is (..., K), weight (N, K), the result (..., N). It may be all columns, or none. Shapes that do not fit are refused.


# %% task="llm_int8_linear" points=4 minutes=25 needs="int8_matmul"
def llm_int8_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, threshold: float = 6.0) -> Tensor:
    """x weight^T + bias, (..., N): columns of x with an outlier in full precision, the others in int8.

    x: (..., K), weight: (N, K), bias: (N,). threshold: of |x|, itself included.
    Raises ValueError for shapes that do not fit. Source: Dettmers et al. 2022, section 3.2.
    """
    ### BEGIN SOLUTION
    if weight.dim() != 2 or x.shape[-1] != weight.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"x should be (..., K) and weight (N, K), not {tuple(x.shape)} and {tuple(weight.shape)}")
    rows = x.reshape(-1, x.shape[-1])  # (M, K)
    outlier = (rows.abs() >= threshold).any(dim=0)  # (K,)
    exact = rows[:, outlier] @ weight[:, outlier].T  # (M, N)
    coarse = int8_matmul(rows.masked_fill(outlier, 0.0), weight)  # (M, N)
    y = (exact + coarse).view(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias
    ### END SOLUTION


# %% [markdown] hints="llm_int8_linear"
# 1. Outliers of what: of the weights or of what comes in?
# 2. One mask (K,) says which columns. Each column should be in exactly one of the two products.
# 3. `outlier = (rows.abs() >= threshold).any(0)`; `rows[:, outlier] @ weight[:, outlier].T + int8_matmul(rows.masked_fill(outlier, 0), weight)`

# %% tests="llm_int8_linear"


@task("llm_int8_linear")
def test_an_outlier_hurts_nobody(student):
    """One column a thousand times as large: the result is right to 2% of the small columns' part."""
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 3, 16, generator=draw), torch.randn(5, 16, generator=draw)
    x[..., 4] *= 1000
    found = student.llm_int8_linear(x, w).value
    assert found.shape == (2, 3, 5), "The result should be (..., N)."
    assert (found - x @ w.T).abs().max() < 0.1, "The outliers still go through the coarse product."


@task("llm_int8_linear")
@needs("test_an_outlier_hurts_nobody")
def test_columns_that_do_not_fit(student):
    """A weight with other columns than x is refused."""
    student.llm_int8_linear(torch.ones(2, 3), torch.ones(4, 2)).refused()


# %% [markdown] task="smooth"
# ## `smooth`: outliers are moved into the weights
#
# $XW^\top = (X/s)(W \cdot s)^\top$ for every $s > 0$ with one entry a channel. SmoothQuant chooses it so that both sides are about as hard:
#
# $$ s_k = \frac{(\max|X_k|)^{\alpha}}{(\max|W_k|)^{1-\alpha}} $$
#
# `X_absmax` (K,) are the largest absolute activations of each channel. $\max|W_k|$ goes over all rows (N) of W, and over **all** matrices if W is a list of those that read the same input. Where one of the two maxima is 0: $s_k = 1$. An
# `alpha` outside of [0, 1] and shapes that do not fit are refused.
#
# **By hand.** X_absmax 64, W_absmax 4, α = 0.5: s = 8/2 = 4. The activation's maximum becomes 16, and so does the weight's.


# %% task="smooth" points=3 minutes=15
def smooth(X_absmax: Tensor, W: Tensor | list[Tensor], alpha: float = 0.5) -> Tensor:
    """Factors s (K,), by which activations are divided and weights multiplied.

    X_absmax: (K,). W: (N, K), or several that read the same input. alpha: how much moves, in [0, 1].
    Raises ValueError for another alpha and shapes that do not fit. Source: Xiao et al. 2022, equation 4.
    """
    ### BEGIN SOLUTION
    matrices = [W] if isinstance(W, Tensor) else list(W)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}: it should be in [0, 1]")
    if not matrices or any(w.dim() != 2 or w.shape[1:] != X_absmax.shape for w in matrices):
        raise ValueError(f"X_absmax should be (K,) and W (N, K), not {tuple(X_absmax.shape)}")
    W_absmax = torch.cat(matrices).abs().amax(dim=0)  # (K,)
    s = X_absmax**alpha / W_absmax ** (1 - alpha)  # (K,)
    return torch.where((X_absmax == 0) | (W_absmax == 0), 1.0, s)
    ### END SOLUTION


# %% [markdown] hints="smooth"
# 1. One factor a channel: over what is each maximum taken?
# 2. `torch.cat` puts the matrices on top of each other. Take absolute values before the maximum. Then two powers, and the channels with a 0.
# 3. `w = torch.cat(matrices).abs().amax(0)`; `torch.where((X_absmax == 0) | (w == 0), 1.0, X_absmax**alpha / w ** (1 - alpha))`

# %% tests="smooth"


@task("smooth")
def test_two_channels(student):
    """Maxima 64 and 4 give 4; a channel whose weights are 0 gives 1."""
    student.smooth(f32(64, 5), f32([-4, 0], [1, 0])).equals(f32(4, 1), **FLOAT32)


@task("smooth")
def test_two_readers_of_one_input(student):
    """Two matrices that read the same input share their factors: the larger weight counts."""
    student.smooth(f32(64, 9), [f32([4, 1]), f32([1, -9], [2, 2])]).equals(f32(4, 1), **FLOAT32)


@task("smooth")
@needs("test_two_channels")
def test_too_much_alpha(student):
    """An alpha of 1.5 is refused."""
    student.smooth(f32(1, 1), f32([1, 1]), 1.5).refused()


# %% [markdown] task="fold"
# ## `fold`: so that nobody has to multiply at run time
#
# The division of X by s costs nothing if whoever makes X does it: the norm before the layer, whose last step is `x * norm_weight + norm_bias`. Return `(norm_weight / s, norm_bias / s, W * s)`; without a bias (None) the second is None. Where W is a list, the third is a
# list. Nothing is changed in place. Shapes that do not fit are refused.


# %% task="fold" points=2 minutes=10
def fold(
    norm_weight: Tensor, norm_bias: Tensor | None, W: Tensor | list[Tensor], s: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | list[Tensor]]:
    """The norm's weight and bias divided by s, the weights multiplied by it.

    norm_weight, norm_bias, s: (K,). W: (N, K), or a list. Raises ValueError for shapes that do not fit.

    Source: Xiao et al. 2022, section 4.
    """
    ### BEGIN SOLUTION
    matrices = [W] if isinstance(W, Tensor) else list(W)
    given = [norm_weight] if norm_bias is None else [norm_weight, norm_bias]
    if any(part.shape != s.shape for part in given) or any(w.shape[1:] != s.shape for w in matrices):
        raise ValueError(f"norm and s should be (K,) and W (N, K), not {tuple(norm_weight.shape)}, {tuple(s.shape)}")
    bias = None if norm_bias is None else norm_bias / s
    return norm_weight / s, bias, W * s if isinstance(W, Tensor) else [w * s for w in matrices]
    ### END SOLUTION


# %% [markdown] hints="fold"
# 1. What has to become smaller: what the norm multiplies by, what it adds, or both?
# 2. $(xg + b)/s = x\,(g/s) + b/s$. And the weights' columns take s.
# 3. `norm_weight / s, None if norm_bias is None else norm_bias / s, W * s`

# %% tests="fold"


@task("fold")
def test_the_function_stays(student):
    """Norm and layer say together what they said before; and the first weight is divided by 4."""
    draw = torch.Generator().manual_seed(1)
    x, g, b, w = (torch.randn(*shape, generator=draw) for shape in ((5, 4), (4,), (4,), (3, 4)))
    s = f32(4, 0.5, 1, 100)
    found = student.ask(smoothed, g, b, w, s).value
    assert torch.allclose((x * found[0] + found[1]) @ found[2].T, (x * g + b) @ w.T, rtol=1e-4, atol=1e-4), (
        "The function has changed."
    )
    assert torch.allclose(found[0], g / s), "The norm should be divided by s."


@task("fold")
@needs("test_the_function_stays")
def test_factors_for_other_channels(student):
    """Factors of another number of channels are refused."""
    student.fold(torch.ones(4), None, torch.ones(3, 4), torch.ones(3)).refused()


# %% [markdown] task="nf4_codebook"
# ## `nf4_codebook`: sixteen levels for a bell curve
#
# Weights of a trained layer look like draws from a normal distribution. If each of 16 levels should be used equally often, they are its quantiles. With $\Phi^{-1}$ the inverse of the normal distribution function and $p_0 = 0.9677083$:
#
# - positive side: $\Phi^{-1}$ at 9 evenly spaced points from $p_0$ to 0.5, without the last: 8 levels
# - negative side: $-\Phi^{-1}$ at 8 evenly spaced points from $p_0$ to 0.5, without the last: 7 levels
# - and 0, exactly
#
# All divided by the largest, in ascending order, float32: from −1 through 0 to 1. There is one positive level more than there are negative ones, because 16 is even and 0 takes one.
#
# **By hand.** The first are −1, −0.6962, −0.5251; the last 0.5626, 0.7230, 1.


# %% task="nf4_codebook" points=3 minutes=20
def nf4_codebook() -> Tensor:
    """The 16 levels of NF4, ascending, (16,) float32.

    Source: Dettmers et al. 2023 (QLoRA), section 3 and appendix E.
    """

    ### BEGIN SOLUTION
    def quantiles(n: int) -> Tensor:
        return torch.special.ndtri(torch.linspace(0.9677083, 0.5, n, dtype=torch.float64)[:-1])  # (n - 1,)

    levels = torch.cat([quantiles(9), torch.zeros(1), -quantiles(8)])  # (16,)
    return (levels / levels.max()).sort().values.float()
    ### END SOLUTION


# %% [markdown] hints="nf4_codebook"
# 1. How many levels are left for each side, if one is 0?
# 2. `torch.linspace(0.9677083, 0.5, 9)[:-1]` are the positive side's probabilities. `torch.special.ndtri` is the inverse of the normal distribution function.
# 3. `levels = torch.cat([ndtri(linspace(p0, 0.5, 9)[:-1]), zeros(1), -ndtri(linspace(p0, 0.5, 8)[:-1])])`; `(levels / levels.max()).sort().values`, in float64 until the end.

# %% tests="nf4_codebook"


@task("nf4_codebook")
def test_the_levels_of_the_handout(student):
    """Sixteen levels, ascending from -1 through an exact 0 to 1; the second is -0.6962, the second last 0.7230."""
    levels = student.nf4_codebook().value
    assert levels.shape == (16,), "There should be 16 levels."
    assert levels.dtype == torch.float32, "Levels should be float32."
    assert [float(levels[i]) for i in (0, 7, 15)] == [-1, 0, 1], "The ends and the eighth level are -1, 1 and 0."
    assert abs(float(levels[1]) + 0.6961928) < 1e-6, "The second level is another."
    assert abs(float(levels[14]) - 0.7229568) < 1e-6, "The second last level is another."


def bitsandbytes():
    library = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    if not library.__version__.startswith("0.50."):
        pytest.skip(f"bitsandbytes is {library.__version__}; this was compared with 0.50")
    return library.functional


@task("nf4_codebook")
def test_same_levels_as_bitsandbytes(student):
    """The levels are those of bitsandbytes."""
    student.nf4_codebook().equals(bitsandbytes().get_4bit_type("nf4", device="cpu"), rtol=0, atol=3e-7)


# %% [markdown] task="nf4_quantize"
# ## `nf4_quantize`: four bits a weight
#
# Flatten x row by row and cut it into blocks of `block` numbers; the last may be short. Each block is divided by its largest absolute value, and each number becomes the index of the nearest level; exactly halfway, the **lower** level's. Two
# indices go into a byte, the first in the high half. If their number is odd, the last byte's low half is 7, the level 0. A block of zeros has absmax 0 and indices 7.
#
# Return `(packed, absmax)`: uint8 (⌈n/2⌉,) and float32 (⌈n/block⌉,). An empty x, numbers that are not finite and a block below 1 are refused.
#
# **By hand.** x = (2, −2, 0) is one block with absmax 2: indices 15, 0, 7; bytes 0xF0 = 240 and 0x77 = 119.


# %% task="nf4_quantize" points=4 minutes=30 needs="nf4_codebook"
def nf4_quantize(x: Tensor, block: int = 64) -> tuple[Tensor, Tensor]:
    """Two indices a byte, uint8 (ceil(n/2),), and the largest absolute value of each block, float32 (ceil(n/block),).

    Raises ValueError for an empty x, numbers that are not finite and a block below 1.

    Source: Dettmers et al. 2023, section 3; the packing is that of bitsandbytes.
    """
    ### BEGIN SOLUTION
    if block < 1 or not x.numel() or not x.isfinite().all():
        raise ValueError(f"x should hold finite numbers, and block={block} be at least 1")
    flat = x.float().flatten()  # (n,)
    short = -len(flat) % block
    blocks = torch.cat([flat, flat.new_zeros(short)]).view(-1, block)  # (n / block, block)
    absmax = blocks.abs().amax(dim=1)  # (n / block,)
    scaled = blocks / absmax.masked_fill(absmax == 0, 1.0)[:, None]
    levels = nf4_codebook()
    halfway = (levels[1:] + levels[:-1]) / 2  # (15,)
    index = torch.bucketize(scaled.flatten()[: len(flat)], halfway)  # (n,)  on the border: the lower one
    if len(index) % 2:
        index = torch.cat([index, index.new_full((1,), 7)])
    return (index[0::2] * 16 + index[1::2]).to(torch.uint8), absmax
    ### END SOLUTION


# %% [markdown] hints="nf4_quantize"
# 1. Which numbers share a scale, and which share a byte?
# 2. Fill the last block up with zeros, view it as a table, take the maxima, and cut the filling off again. The borders between levels are their midpoints: how many lie *below* a number is its index.
# 3. `index = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2)`; an odd number of them gets one more 7; `(index[0::2] * 16 + index[1::2]).to(torch.uint8)`

# %% tests="nf4_quantize"


@task("nf4_quantize")
def test_three_weights_in_two_bytes(student):
    """(2, -2, 0) becomes 240 and 119, with one absmax of 2."""
    found = student.ask(quantized, "nf4_quantize", f32(2, -2, 0)).value
    assert found[0].tolist() == [240, 119], "The bytes are others."
    assert found[1].tolist() == [2], "There is one block, whose largest absolute value is 2."


@task("nf4_quantize")
def test_same_bytes_as_bitsandbytes(student):
    """Bytes and maxima are those of bitsandbytes."""
    library = bitsandbytes()
    x = torch.randn(9, 96, generator=torch.Generator().manual_seed(0))
    packed, state = library.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=False)
    found = student.ask(quantized, "nf4_quantize", x).value
    assert torch.equal(found[0], packed.flatten()), "The library's bytes are others."
    assert torch.equal(found[1], state.absmax), "The library's maxima are others."


@task("nf4_quantize")
@needs("test_three_weights_in_two_bytes")
def test_nothing_to_pack(student):
    """An empty tensor and a block of 0 are refused."""
    student.nf4_quantize(f32()).refused()
    student.nf4_quantize(f32(1, 2), 0).refused()


# %% [markdown] task="nf4_dequantize"
# ## `nf4_dequantize`: and back
#
# `packed` and `absmax` as above, `shape` of the tensor that they came from, and the same `block`: the level of each index times the largest value of its block, float32. Bytes or maxima that are too few or too many for the shape are refused.


# %% task="nf4_dequantize" points=2 minutes=15 needs="nf4_codebook"
def nf4_dequantize(packed: Tensor, absmax: Tensor, shape: tuple[int, ...], block: int = 64) -> Tensor:
    """The tensor that these bytes stand for: float32 of this shape.

    Raises ValueError where bytes or maxima are not as many as the shape needs. Source: Dettmers et al. 2023, section 3.
    """
    ### BEGIN SOLUTION
    n = torch.Size(shape).numel()
    if block < 1 or packed.shape != (-(-n // 2),) or absmax.shape != (-(-n // block),):
        raise ValueError(f"{tuple(packed.shape)} bytes and {tuple(absmax.shape)} maxima do not make {tuple(shape)}")
    index = torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n].long()  # (n,)
    scales = absmax.repeat_interleave(block)[:n]  # (n,)
    return (nf4_codebook()[index] * scales).view(torch.Size(shape))
    ### END SOLUTION


# %% [markdown] hints="nf4_dequantize"
# 1. How do two numbers come out of one byte?
# 2. `packed >> 4` and `packed & 15`, put next to each other and flattened; then cut to n.
# 3. `index = torch.stack([packed >> 4, packed & 15], 1).flatten()[:n].long()`; `(nf4_codebook()[index] * absmax.repeat_interleave(block)[:n]).view(shape)`

# %% tests="nf4_dequantize"


@task("nf4_dequantize")
def test_two_bytes_in_three_weights(student):
    """240 and 119 with a largest value of 2 are (2, -2, 0)."""
    bytes_ = torch.tensor([240, 119], dtype=torch.uint8)
    student.nf4_dequantize(bytes_, f32(2), (3,)).equals(f32(2, -2, 0), **FLOAT32)


@task("nf4_dequantize")
@needs("test_two_bytes_in_three_weights")
def test_bytes_that_are_missing(student):
    """One byte for three weights is refused."""
    student.nf4_dequantize(torch.tensor([240], dtype=torch.uint8), f32(2), (3,)).refused()


# %% [markdown] task="double_quantize"
# ## `double_quantize`: the scales take room too
#
# 32 bits for each block of 64 is half a bit a weight. So the maxima are quantised as well, to 8 bits. They are all positive, and the 256 levels of `dynamic_map()` have both signs: take their **mean** away first. Then in blocks of `block`: scale = the largest absolute
# value; code = the index of the level nearest to value/scale. A block of zeros has scale 0, and codes of the level 0.
#
# Return `(codes, scales, mean)`: uint8 (n,), float32 (⌈n/block⌉,), float32 (). Refused: no maxima, more dimensions than one, a block below 1.
#
# **By hand.** Maxima (1, 2, 3): mean 2, values (−1, 0, 1), scale 1. The level 1 is the last: code 255; 0 is level 127; the lowest level is −0.9930: code 0.


# %% task="double_quantize" points=3 minutes=20
def double_quantize(absmax: Tensor, block: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Codes uint8 (n,) into `dynamic_map()`, scales float32 (ceil(n/block),) and the mean that was taken away, ().

    absmax: (n,). Raises ValueError for no maxima, more dimensions and a block below 1.

    Source: Dettmers et al. 2023, section 3, double quantisation.
    """
    ### BEGIN SOLUTION
    if absmax.dim() != 1 or not len(absmax) or block < 1:
        raise ValueError(f"absmax should be (n,) and block at least 1, not {tuple(absmax.shape)} and {block}")
    n, mean = len(absmax), absmax.float().mean()
    centred = torch.cat([absmax.float() - mean, torch.zeros(-n % block)]).view(-1, block)  # (n / block, block)
    scales = centred.abs().amax(dim=1)  # (n / block,)
    scaled = centred / scales.masked_fill(scales == 0, 1.0)[:, None]
    distance = (scaled.flatten()[:n, None] - dynamic_map()).abs()  # (n, 256)
    return distance.argmin(dim=1).to(torch.uint8), scales, mean
    ### END SOLUTION


# %% [markdown] hints="double_quantize"
# 1. Where do the values lie before you take the mean away, and where do the levels lie?
# 2. It is `nf4_quantize` once more, with other levels and without packing, on centred values.
# 3. `mean = absmax.mean()`; blocks of `absmax - mean`; `scales = blocks.abs().amax(1)`; `(value / scale - dynamic_map()).abs().argmin()` for each value.

# %% tests="double_quantize"


@task("double_quantize")
def test_three_maxima(student):
    """(1, 2, 3) has the mean 2, one scale of 1, and the codes 0, 127 and 255."""
    found = student.ask(quantized, "double_quantize", f32(1, 2, 3)).value
    assert found[0].tolist() == [0, 127, 255], "The codes are others."
    assert found[1].tolist() == [1], "The scale is another."
    assert float(found[2]) == 2, "The mean is another."
    assert dynamic_map()[127] == 0, "The level 127 is 0."


@task("double_quantize")
@needs("test_three_maxima")
def test_no_maxima(student):
    """No maxima, and a block of 0, are refused."""
    student.double_quantize(f32()).refused()
    student.double_quantize(f32(1), 0).refused()


@task("double_quantize")
def test_same_stages_as_bitsandbytes(student):
    """Mean and scales are those of bitsandbytes, and nearly all codes; where two levels are equally near it may take the other."""
    library = bitsandbytes()
    x = torch.randn(600, 64, generator=torch.Generator().manual_seed(0))
    _, state = library.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    codes, scales, mean = student.ask(quantized, "double_quantize", x.abs().amax(1)).value
    assert torch.allclose(mean, state.offset), "The library's mean is another."
    assert torch.allclose(scales, state.state2.absmax), "The library's scales are others."
    apart = (codes.int() - state.absmax.flatten().int()).abs()
    assert apart.max() <= 1, "The library's codes are others."
    assert (apart > 0).float().mean() < 0.01, "The library's codes are others."


# %% [markdown] task="double_dequantize"
# ## `double_dequantize`: and back
#
# The level of each code, times the scale of its block, plus the mean: float32 (n,). A number of scales that does not fit is refused.


# %% task="double_dequantize" points=1 minutes=5
def double_dequantize(codes: Tensor, scales: Tensor, mean: Tensor, block: int = 256) -> Tensor:
    """The maxima that these codes stand for, float32 (n,).

    Raises ValueError where there are not as many scales as the codes have blocks. Source: Dettmers et al. 2023, equation 6.
    """
    ### BEGIN SOLUTION
    if block < 1 or codes.dim() != 1 or scales.shape != (-(-len(codes) // block),):
        raise ValueError(f"{tuple(scales.shape)} scales do not fit {tuple(codes.shape)} codes in blocks of {block}")
    return dynamic_map()[codes.long()] * scales.repeat_interleave(block)[: len(codes)] + mean
    ### END SOLUTION


# %% [markdown] hints="double_dequantize"
# 1. Which three things were done to a value, and in which order are they undone?
# 2. Look the level up, multiply by its block's scale, add the mean.
# 3. `dynamic_map()[codes.long()] * scales.repeat_interleave(block)[: len(codes)] + mean`

# %% tests="double_dequantize"


@task("double_dequantize")
def test_three_codes(student):
    """Codes 0, 127, 255 with scale 1 and mean 2: 1.007, 2 and 3."""
    codes = torch.tensor([0, 127, 255], dtype=torch.uint8)
    student.double_dequantize(codes, f32(1), f32(2)[0]).equals(f32(1.00703125, 2, 3), **FLOAT32)


@task("double_dequantize")
@needs("test_three_codes")
def test_scales_that_do_not_fit(student):
    """Two scales for three codes are refused."""
    student.double_dequantize(torch.tensor([0, 1, 2], dtype=torch.uint8), f32(1, 2), f32(0)[0]).refused()


# %% [markdown] task="bits_per_weight"
# ## `bits_per_weight`: the bill
#
# NF4 with one float32 for each `block` weights; with `block2` the maxima are stored in 8 bits, and one float32 for each `block2` of them (the one mean is forgotten, as everybody does). Blocks below 1 are refused.
#
# **By hand.** 4 + 32/64 = 4.5; with block2 = 256: 4 + 8/64 + 32/(64·256) = 4.126953125.


# %% task="bits_per_weight" points=1 minutes=5
def bits_per_weight(block: int = 64, block2: int | None = None) -> float:
    """Bits a weight in NF4, scales included. Raises ValueError for blocks below 1.

    Source: Dettmers et al. 2023, section 3.
    """
    ### BEGIN SOLUTION
    if block < 1 or (block2 is not None and block2 < 1):
        raise ValueError(f"block={block} and block2={block2} should be at least 1")
    return 4 + 32 / block if block2 is None else 4 + 8 / block + 32 / (block * block2)
    ### END SOLUTION


# %% [markdown] hints="bits_per_weight"
# 1. What is stored beside the four bits, and for how many weights at once?
# 2. One float32 for 64 weights is half a bit for each. With the second stage: 8 bits for 64, and a float32 for 64 · 256.
# 3. `4 + 32 / block`, or `4 + 8 / block + 32 / (block * block2)`

# %% tests="bits_per_weight"


@task("bits_per_weight")
def test_the_bill(student):
    """4.5 bits, and 4.126953125 with the second stage."""
    student.ask(bits_of, [[64, None], [64, 256]]).equals([4.5, 4.126953125])


@task("bits_per_weight")
@needs("test_the_bill")
def test_blocks_of_nothing(student):
    """A block of 0 is refused."""
    student.bits_per_weight(0).refused()
