"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import reference
import torch
from common.quantization import dynamic_map
from reference import (
    absmax_quantize,
    double_quantize,
    int8_matmul,
    llm_int8_linear,
    nf4_codebook,
    nf4_dequantize,
    nf4_quantize,
    smooth,
    zeropoint_quantize,
)

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------------ absmax_quantize

CODES = "test_codes_and_scale"
SLICES = "test_a_scale_for_each_slice"
EVEN = "test_halves_go_to_the_even"
NO_CODES = "test_what_has_no_codes"


def _scaled(x, bits, dim):
    _, scale = absmax_quantize(x, bits, dim)
    return x.float() / scale.masked_fill(scale == 0, 1.0), scale


@mistake(
    "absmax_quantize",
    seen="Every code is pulled towards zero; casting is not rounding.",
    named="This equals codes that are cut off.",
    caught_by=CODES,
)
def truncates(x, bits=8, dim=None):
    scaled, scale = _scaled(x, bits, dim)
    return (scaled + 1e-4 * scaled.sign()).trunc().to(torch.int8), scale


@mistake(
    "absmax_quantize",
    seen="A tensor whose largest value is negative overflows your range.",
    named="This equals a scale from the largest value, without its absolute value.",
    caught_by=CODES,
)
def scale_without_abs(x, bits=8, dim=None):
    absmax_quantize(x, bits, dim)
    largest = x.max() if dim is None else x.amax(dim=dim, keepdim=True)
    scale = largest.float().clamp(min=1e-6) / (2 ** (bits - 1) - 1)
    return (x / scale).round().clamp(-128, 127).to(torch.int8), scale


@mistake(
    "absmax_quantize",
    seen="What is the largest code of b bits, if the range is symmetric?",
    named="This equals codes up to 2^(b-1), of which the last does not fit.",
    caught_by=CODES,
)
def one_code_too_many(x, bits=8, dim=None):
    _, scale = absmax_quantize(x, bits, dim)
    scale = scale * (2 ** (bits - 1) - 1) / 2 ** (bits - 1)
    return (x / scale.masked_fill(scale == 0, 1.0)).round().clamp(-128, 127).to(torch.int8), scale


@mistake(
    "absmax_quantize",
    seen="One large row sets the step for all others.",
    named="This equals one scale for everything, whatever dim says.",
    caught_by=SLICES,
)
def per_tensor_for_row(x, bits=8, dim=None):
    codes, scale = absmax_quantize(x, bits)
    if dim is None:
        return codes, scale
    return codes, scale * torch.ones_like(absmax_quantize(x, bits, dim)[1])


@mistake(
    "absmax_quantize",
    seen="Your scales belong to columns; a product can only take out what is constant along its sum.",
    named="This equals a scale along another dimension than the one that is reduced.",
    caught_by=SLICES,
)
def wrong_dim(x, bits=8, dim=None):
    return absmax_quantize(x, bits, dim if dim is None else (dim + 1) % x.dim())


@mistake(
    "absmax_quantize",
    seen="Can your scale be multiplied with the codes as it is?",
    named="This equals scales without the dimension that was reduced.",
    caught_by=SLICES,
)
def dimension_lost(x, bits=8, dim=None):
    codes, scale = absmax_quantize(x, bits, dim)
    return codes, scale if dim is None else scale.squeeze(dim)


@mistake(
    "absmax_quantize",
    seen="What does a code have to be multiplied by to come back?",
    named="This equals the inverse of the scale.",
    caught_by=CODES,
)
def inverse_scale(x, bits=8, dim=None):
    codes, scale = absmax_quantize(x, bits, dim)
    return codes, torch.where(scale == 0, scale, 1 / scale)


@mistake(
    "absmax_quantize",
    seen="Exactly halfway your codes drift upwards.",
    named="This equals halves that are always rounded up.",
    caught_by=EVEN,
)
def halves_up(x, bits=8, dim=None):
    scaled, scale = _scaled(x, bits, dim)
    return (scaled + 0.5).floor().clamp(max=2 ** (bits - 1) - 1).to(torch.int8), scale


@mistake(
    "absmax_quantize",
    seen="What is the code of infinity?",
    named="This equals codes for anything.",
    caught_by=NO_CODES,
)
def anything_has_codes(x, bits=8, dim=None):
    if not x.numel():
        return x.to(torch.int8), torch.zeros(())
    return absmax_quantize(x.nan_to_num(posinf=1.0, neginf=-1.0), min(max(bits, 2), 8), dim)


# --------------------------------------------------------------------------------------------------- zeropoint_quantize

ALL = "test_all_codes_are_used"
INSIDE = "test_zero_is_always_inside"


@mistake(
    "zeropoint_quantize",
    seen="Zero comes back as something else: padding and ReLU zeros would drift.",
    named="This equals a range from the smallest to the largest number, without 0.",
    caught_by=INSIDE,
)
def zero_not_exact(x, bits=8):
    zeropoint_quantize(x, bits)
    low, high = x.min().item(), x.max().item()
    scale = (high - low) / (2**bits - 1) or 1.0
    zero = round(-low / scale)
    return ((x.float() / scale).round() + zero).clamp(0, 2**bits - 1).to(torch.uint8), scale, zero


@mistake(
    "zeropoint_quantize",
    seen="Half of your codes lie idle where nothing is negative.",
    named="This equals a symmetric range with a zero point in its middle.",
    caught_by=(ALL, INSIDE),
)
def symmetric_range(x, bits=8):
    zeropoint_quantize(x, bits)
    scale = 2 * x.abs().max().item() / (2**bits - 1) or 1.0
    zero = 2 ** (bits - 1)
    return ((x.float() / scale).round() + zero).clamp(0, 2**bits - 1).to(torch.uint8), scale, zero


@mistake(
    "zeropoint_quantize",
    seen="How many steps are there between 256 codes?",
    named="This equals a scale by 2^b in place of 2^b - 1.",
    caught_by=ALL,
)
def a_step_too_many(x, bits=8):
    _, scale, _ = zeropoint_quantize(x, bits)
    scale = scale * (2**bits - 1) / 2**bits
    zero = round(-min(x.min().item(), 0.0) / scale)
    return ((x.float() / scale).round() + zero).clamp(0, 2**bits - 1).to(torch.uint8), scale, zero


@mistake(
    "zeropoint_quantize",
    seen="On which side of 0 does the range begin?",
    named="This equals a zero point with the other sign.",
    caught_by=ALL,
)
def zero_point_negated(x, bits=8):
    codes, scale, zero = zeropoint_quantize(x, bits)
    return codes, scale, -zero


@mistake(
    "zeropoint_quantize",
    seen="What is the code of NaN, and what are nine bits in a byte?",
    named="This equals codes for anything.",
    caught_by="test_what_has_no_zero_point",
)
def anything_has_a_zero(x, bits=8):
    if not x.numel():
        return x.to(torch.uint8), 1.0, 0
    return zeropoint_quantize(x.nan_to_num(posinf=1.0, neginf=-1.0), min(max(bits, 2), 8))


# --------------------------------------------------------------------------------------------------------- int8_matmul

PRODUCT = "test_a_product_of_codes"
LONG = "test_long_sums_are_exact"


def _product(x, w, codes, scales):
    int8_matmul(x, w)
    (cx, sx), (cw, sw) = absmax_quantize(x, dim=1), absmax_quantize(w, dim=1)
    return codes(cx, cw) * scales(sx, sw)


@mistake(
    "int8_matmul",
    seen="The sum of many products does not fit its type.",
    named="This equals products that are added in int8.",
    caught_by=(PRODUCT, LONG),
)
def accumulates_int8(x, w):
    return _product(x, w, lambda a, b: (a.int() @ b.int().T).to(torch.int8).float(), lambda a, b: a * b.T)


@mistake(
    "int8_matmul",
    seen="Both factors were divided; only one is multiplied back.",
    named="This equals a result times the scales of x alone.",
    caught_by=PRODUCT,
)
def one_scale_forgotten(x, w):
    return _product(x, w, lambda a, b: (a.int() @ b.int().T).float(), lambda a, b: a)


@mistake(
    "int8_matmul",
    seen="Every row of x has the same step.",
    named="This equals one scale for all of x.",
    caught_by=PRODUCT,
)
def one_scale_for_x(x, w):
    int8_matmul(x, w)
    (cx, sx), (cw, sw) = absmax_quantize(x), absmax_quantize(w, dim=1)
    return (cx.int() @ cw.int().T).float() * sx * sw.T


@mistake(
    "int8_matmul",
    seen="Every row of w has the same step.",
    named="This equals one scale for all of w.",
    caught_by=PRODUCT,
)
def one_scale_for_w(x, w):
    int8_matmul(x, w)
    (cx, sx), (cw, sw) = absmax_quantize(x, dim=1), absmax_quantize(w)
    return (cx.int() @ cw.int().T).float() * sx * sw


# ----------------------------------------------------------------------------------------------------- llm_int8_linear

SOME = "test_outliers_in_some_columns"
AT = "test_at_the_threshold_itself"
LARGE = "test_large_weights_change_nothing"
SPEAKS = "test_a_model_with_outliers_still_speaks"


def _mixed(x, weight, bias, outlier, *, both=False):
    llm_int8_linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    outlier = outlier(rows)
    coarse = int8_matmul(rows if both else rows.masked_fill(outlier, 0.0), weight)
    y = (rows[:, outlier] @ weight[:, outlier].T + coarse).view(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias


@mistake(
    "llm_int8_linear",
    seen="Outliers live in the activations and change with the input.",
    named="This equals outliers that are sought in the weights.",
    caught_by=LARGE,
)
def threshold_on_weights(x, weight, bias=None, threshold=6.0):
    return _mixed(x, weight, bias, lambda rows: (weight.abs() >= threshold).any(0))


@mistake(
    "llm_int8_linear",
    seen="Features above the threshold still pass through the coarse product.",
    named="This equals int8 for all columns.",
    caught_by=(SOME, SPEAKS),
)
def no_decomposition(x, weight, bias=None, threshold=6.0):
    return _mixed(x, weight, bias, lambda rows: torch.zeros(rows.shape[1], dtype=torch.bool))


@mistake(
    "llm_int8_linear",
    seen="A value at the threshold itself belongs to the outliers.",
    named="This equals only what is above the threshold.",
    caught_by=AT,
)
def strict_threshold(x, weight, bias=None, threshold=6.0):
    return _mixed(x, weight, bias, lambda rows: (rows.abs() > threshold).any(0))


@mistake(
    "llm_int8_linear",
    seen="Negative outliers are outliers too.",
    named="This equals outliers without the absolute value.",
    caught_by=AT,
)
def positive_outliers(x, weight, bias=None, threshold=6.0):
    return _mixed(x, weight, bias, lambda rows: (rows >= threshold).any(0))


@mistake(
    "llm_int8_linear",
    seen="Whoever calls you may have another threshold.",
    named="This equals a threshold of 6, whatever is asked.",
    caught_by=AT,
)
def threshold_fixed(x, weight, bias=None, threshold=6.0):
    return llm_int8_linear(x, weight, bias, 6.0)


@mistake(
    "llm_int8_linear",
    seen="The outlier columns appear in both products.",
    named="This equals outlier columns that are not taken out of the int8 product.",
    caught_by=SOME,
)
def outliers_counted_twice(x, weight, bias=None, threshold=6.0):
    return _mixed(x, weight, bias, lambda rows: (rows.abs() >= threshold).any(0), both=True)


@mistake(
    "llm_int8_linear",
    seen="Where is the bias?",
    named="This equals a layer without its bias.",
    caught_by=SOME,
)
def bias_forgotten(x, weight, bias=None, threshold=6.0):
    y = llm_int8_linear(x, weight, bias, threshold)
    return y if bias is None else y - bias


# ------------------------------------------------------------------------------------------------------ smooth and fold

FACTORS = "test_factors"
SHARED = "test_one_input_for_several"
SILENT = "test_silent_channels"
NORM = "test_norm_and_weights"
SMOOTHED = "test_a_smoothed_model_still_speaks"


@mistake(
    "smooth",
    seen="The hard side got harder: which of the two had the outliers?",
    named="This equals the inverse of the factors.",
    caught_by=FACTORS,
)
def smooth_inverse(X_absmax, W, alpha=0.5):
    return 1 / smooth(X_absmax, W, alpha)


@mistake(
    "smooth",
    seen="A channel with large negative values looks small to you.",
    named="This equals maxima of the weights without their absolute values.",
    caught_by=FACTORS,
)
def smooth_max_not_abs(X_absmax, W, alpha=0.5):
    matrices = [W] if isinstance(W, torch.Tensor) else W
    return smooth(X_absmax, [w.clamp(min=1e-3) for w in matrices], alpha)


@mistake(
    "smooth",
    seen="Of which side is alpha the power?",
    named="This equals alpha and 1 - alpha exchanged.",
    caught_by=FACTORS,
)
def alpha_exchanged(X_absmax, W, alpha=0.5):
    return smooth(X_absmax, W, 1 - alpha)


@mistake(
    "smooth",
    seen="Two layers read the same input, and want other factors.",
    named="This equals factors of the first matrix alone.",
    caught_by=SHARED,
)
def first_reader_alone(X_absmax, W, alpha=0.5):
    smooth(X_absmax, W, alpha)
    return smooth(X_absmax, W if isinstance(W, torch.Tensor) else W[0], alpha)


@mistake(
    "smooth",
    seen="What does a channel need that is silent?",
    named="This equals 0, infinity or NaN for channels whose activations or weights are 0.",
    caught_by=SILENT,
)
def silence_divided(X_absmax, W, alpha=0.5):
    smooth(X_absmax, W, alpha)
    w = torch.cat([W] if isinstance(W, torch.Tensor) else W).abs().amax(0)
    return X_absmax**alpha / w ** (1 - alpha)


@mistake(
    "smooth",
    seen="Can more than everything be moved?",
    named="This equals factors for any alpha.",
    caught_by="test_what_cannot_be_smoothed",
)
def any_alpha(X_absmax, W, alpha=0.5):
    return smooth(X_absmax, W, min(max(alpha, 0.0), 1.0))


def _folded(W, by):
    return W * by if isinstance(W, torch.Tensor) else [w * by for w in W]


@mistake(
    "fold",
    seen="The norm's shift must shrink with its scale.",
    named="This equals a norm whose bias is left as it was.",
    caught_by=(NORM, SMOOTHED),
)
def norm_bias_not_folded(norm_weight, norm_bias, W, s):
    weight, _, folded = reference.fold(norm_weight, norm_bias, W, s)
    return weight, norm_bias, folded


@mistake(
    "fold",
    seen="Which side is divided, and which is multiplied?",
    named="This equals a norm times s and weights divided by it.",
    caught_by=NORM,
)
def folded_the_other_way(norm_weight, norm_bias, W, s):
    return reference.fold(norm_weight, norm_bias, W, 1 / s)


@mistake(
    "fold",
    seen="The function has changed: who undoes what the norm does?",
    named="This equals weights that are left as they were.",
    caught_by=(NORM, SMOOTHED),
)
def weights_not_folded(norm_weight, norm_bias, W, s):
    weight, bias, _ = reference.fold(norm_weight, norm_bias, W, s)
    return weight, bias, W


@mistake(
    "fold",
    seen="Channels of another number slip through.",
    named="This equals folding whatever broadcasts.",
    caught_by="test_what_cannot_be_folded",
)
def folds_anything(norm_weight, norm_bias, W, s):
    try:
        return reference.fold(norm_weight, norm_bias, W, s)
    except ValueError:
        return norm_weight, norm_bias, W


# ------------------------------------------------------------------------------------------------------------------ NF4

LEVELS = "test_sixteen_levels"
BYTES = "test_bytes_and_maxima"
DOWN = "test_halfway_goes_down"
ZEROS = "test_blocks_of_zeros"
BACK = "test_levels_times_maxima"


@mistake(
    "nf4_codebook",
    seen="Your table has no exact zero, or loses one of its sixteen levels.",
    named="This equals eight levels on each side, and none at 0.",
    caught_by=LEVELS,
)
def nf4_symmetric():
    half = torch.special.ndtri(torch.linspace(0.9677083, 0.5, 9, dtype=torch.float64)[:-1])
    levels = torch.cat([half, -half])
    return (levels / levels.max()).sort().values.float()


@mistake(
    "nf4_codebook",
    seen="You listed the borders between levels, not the levels.",
    named="This equals midpoints of neighbouring levels.",
    caught_by=LEVELS,
)
def midpoints_as_codebook():
    levels = nf4_codebook()
    return torch.cat([levels[:1], (levels[1:] + levels[:-1]) / 2])


@mistake(
    "nf4_codebook",
    seen="Are weights spread evenly?",
    named="This equals sixteen evenly spaced levels.",
    caught_by=LEVELS,
)
def even_levels():
    return torch.linspace(-1, 1, 16)


@mistake(
    "nf4_codebook",
    seen="One side has a level more than the other. Which one?",
    named="This equals the table turned round.",
    caught_by=LEVELS,
)
def turned_round():
    return -nf4_codebook().flip(0)


@mistake(
    "nf4_quantize",
    seen="Each pair of values comes back in the wrong order.",
    named="This equals the first value in the low half of a byte.",
    caught_by=BYTES,
)
def nibbles_swapped(x, block=64):
    packed, absmax = nf4_quantize(x, block)
    return (packed >> 4) | (packed << 4), absmax


@mistake(
    "nf4_quantize",
    seen="The last odd value, or the last short block, is lost.",
    named="This equals what is left when n // 2 and n // block are taken.",
    caught_by=BYTES,
)
def tail_dropped(x, block=64):
    packed, absmax = nf4_quantize(x, block)
    return packed[: x.numel() // 2], absmax[: x.numel() // block]


@mistake(
    "nf4_quantize",
    seen="What stands in the half byte that nobody needs?",
    named="This equals a tail of 0, the lowest level.",
    caught_by=BYTES,
)
def tail_of_zero(x, block=64):
    packed, absmax = nf4_quantize(x, block)
    if x.numel() % 2:
        packed[-1] &= 0xF0
    return packed, absmax


@mistake(
    "nf4_quantize",
    seen="A block of zeros has no largest value to divide by.",
    named="This equals 0/0 in a block of zeros.",
    caught_by=ZEROS,
)
def zero_block_nan(x, block=64):
    packed, absmax = nf4_quantize(x, block)
    index = torch.stack([packed >> 4, packed & 15], 1).flatten()
    empty = (absmax == 0).repeat_interleave(block)[: len(index)]
    index[: len(empty)][empty] = 15
    return (index[0::2] * 16 + index[1::2]).to(torch.uint8), absmax


@mistake(
    "nf4_quantize",
    seen="A block ends where a row does: who says so?",
    named="This equals blocks that begin anew with each row.",
    caught_by=BYTES,
)
def blocks_by_row(x, block=64):
    if x.dim() < 2:
        return nf4_quantize(x, block)
    parts = [nf4_quantize(row, block) for row in x.reshape(-1, x.shape[-1])]
    return torch.cat([p for p, _ in parts]), torch.cat([a for _, a in parts])


@mistake(
    "nf4_quantize",
    seen="Halfway between two levels yours goes up.",
    named="This equals the upper level at a midpoint.",
    caught_by=DOWN,
)
def halfway_goes_up(x, block=64):
    _, absmax = nf4_quantize(x, block)
    levels = nf4_codebook()
    n = x.numel()
    scaled = x.float().flatten() / absmax.masked_fill(absmax == 0, 1.0).repeat_interleave(block)[:n]
    index = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2, right=True)
    if n % 2:
        index = torch.cat([index, index.new_full((1,), 7)])
    return (index[0::2] * 16 + index[1::2]).to(torch.uint8), absmax


@mistake(
    "nf4_quantize",
    seen="The sign of a block's largest value is lost, or it should be.",
    named="This equals maxima without absolute values.",
    caught_by=BYTES,
)
def signed_maxima(x, block=64):
    packed, _ = nf4_quantize(x, block)
    flat = torch.cat([x.float().flatten(), torch.zeros(-x.numel() % block)]).view(-1, block)
    return packed, flat.amax(1)


@mistake(
    "nf4_quantize",
    seen="Can infinity be packed?",
    named="This equals bytes for anything.",
    caught_by="test_what_cannot_be_packed",
)
def packs_anything(x, block=64):
    if not x.numel():
        return torch.zeros(0, dtype=torch.uint8), torch.zeros(0)
    return nf4_quantize(x.nan_to_num(posinf=1.0, neginf=-1.0), max(block, 1))


@mistake(
    "nf4_dequantize",
    seen="Neighbours have changed places.",
    named="This equals reading the low half first.",
    caught_by=BACK,
)
def low_half_first(packed, absmax, shape, block=64):
    return nf4_dequantize((packed >> 4) | (packed << 4), absmax, shape, block)


@mistake(
    "nf4_dequantize",
    seen="All blocks come back equally large.",
    named="This equals levels without the maxima of their blocks.",
    caught_by=BACK,
)
def maxima_forgotten(packed, absmax, shape, block=64):
    return nf4_dequantize(packed, torch.ones_like(absmax), shape, block)


@mistake(
    "nf4_dequantize",
    seen="In which shape did it come?",
    named="This equals a flat tensor.",
    caught_by=(BACK, "test_there_and_back"),
)
def shape_lost(packed, absmax, shape, block=64):
    return nf4_dequantize(packed, absmax, shape, block).flatten()


@mistake(
    "nf4_dequantize",
    seen="There are more bytes than weights.",
    named="This equals unpacking what fits.",
    caught_by="test_what_cannot_be_unpacked",
)
def unpacks_what_fits(packed, absmax, shape, block=64):
    n = torch.Size(shape).numel()
    packed = torch.cat([packed, packed.new_zeros(n)])[: -(-n // 2)]
    return nf4_dequantize(packed, torch.cat([absmax, torch.ones(n)])[: -(-n // block)], shape, block)


# --------------------------------------------------------------------------------------------------- the second stage

CENTRED = "test_codes_of_centred_maxima"
SMALL = "test_small_blocks_and_equal_maxima"
COME_BACK = "test_maxima_come_back"


def _stage(values, block):
    n = len(values)
    blocks = torch.cat([values, torch.zeros(-n % block)]).view(-1, block)
    scales = blocks.abs().amax(1)
    scaled = blocks / scales.masked_fill(scales == 0, 1.0)[:, None]
    return (scaled.flatten()[:n, None] - dynamic_map()).abs().argmin(1).to(torch.uint8), scales


@mistake(
    "double_quantize",
    seen="All scales are positive, so half of the signed 8-bit levels stay unused.",
    named="This equals a second stage without taking the mean away.",
    caught_by=CENTRED,
)
def absmax_not_centred(absmax, block=256):
    double_quantize(absmax, block)
    return *_stage(absmax.float(), block), torch.zeros(())


@mistake(
    "double_quantize",
    seen="The levels of the second stage are not evenly spaced.",
    named="This equals evenly spaced codes.",
    caught_by=CENTRED,
)
def even_codes(absmax, block=256):
    _, scales, mean = double_quantize(absmax, block)
    scaled = (absmax.float() - mean) / scales.masked_fill(scales == 0, 1.0).repeat_interleave(block)[: len(absmax)]
    return ((scaled + 1) * 127.5).round().clamp(0, 255).to(torch.uint8), scales, mean


@mistake(
    "double_quantize",
    seen="Each block has its own mean, and you return one.",
    named="This equals means that are taken away block by block.",
    caught_by=(CENTRED, SMALL),
)
def mean_of_each_block(absmax, block=256):
    _, _, mean = double_quantize(absmax, block)
    parts = [_stage(part - part.mean(), block) for part in absmax.float().split(block)]
    return torch.cat([c for c, _ in parts]), torch.cat([s for _, s in parts]), mean


@mistake(
    "double_quantize",
    seen="Another size of a block was asked for.",
    named="This equals blocks of 256, whatever is asked.",
    caught_by=SMALL,
)
def block_fixed(absmax, block=256):
    double_quantize(absmax, block)
    return double_quantize(absmax)


@mistake(
    "double_quantize",
    seen="What is the mean of nothing?",
    named="This equals a second stage for anything.",
    caught_by="test_what_has_no_second_stage",
)
def any_maxima(absmax, block=256):
    if not absmax.numel():
        return absmax.to(torch.uint8), absmax, torch.zeros(())
    return double_quantize(absmax.flatten(), max(block, 1))


@mistake(
    "double_dequantize",
    seen="Something that was taken away is not given back.",
    named="This equals maxima without their mean.",
    caught_by=COME_BACK,
)
def mean_not_added(codes, scales, mean, block=256):
    return reference.double_dequantize(codes, scales, mean, block) - mean


@mistake(
    "double_dequantize",
    seen="Every block has the same scale.",
    named="This equals the first scale for all blocks.",
    caught_by=COME_BACK,
)
def first_scale_for_all(codes, scales, mean, block=256):
    return reference.double_dequantize(codes, scales[:1].expand_as(scales), mean, block)


@mistake(
    "double_dequantize",
    seen="A code is the number of a level.",
    named="This equals codes that are taken for evenly spaced.",
    caught_by=COME_BACK,
)
def codes_as_numbers(codes, scales, mean, block=256):
    reference.double_dequantize(codes, scales, mean, block)
    return (codes.float() / 127.5 - 1) * scales.repeat_interleave(block)[: len(codes)] + mean


@mistake(
    "double_dequantize",
    seen="There are scales for which there is no block.",
    named="This equals ignoring how many scales there are.",
    caught_by="test_what_has_no_first_stage",
)
def any_number_of_scales(codes, scales, mean, block=256):
    scales = torch.cat([scales, scales.new_ones(len(codes))])[: -(-len(codes) // block)]
    return reference.double_dequantize(codes, scales, mean, block)


BILL = "test_bits_with_their_scales"


@mistake(
    "bits_per_weight",
    seen="The block scales are stored too.",
    named="This equals 4.",
    caught_by=BILL,
)
def bits_forget_scales(block=64, block2=None):
    reference.bits_per_weight(block, block2)
    return 4.0


@mistake(
    "bits_per_weight",
    seen="With the second stage the first one's scales are smaller.",
    named="This equals 32 bits for each block and the second stage on top.",
    caught_by=BILL,
)
def second_stage_on_top(block=64, block2=None):
    return reference.bits_per_weight(block) if block2 is None else 4 + 32 / block + 8 / block + 32 / (block * block2)


@mistake(
    "bits_per_weight",
    seen="How many weights share one scale of the second stage?",
    named="This equals one float32 for block2 weights.",
    caught_by=BILL,
)
def second_scale_for_block2(block=64, block2=None):
    return reference.bits_per_weight(block, block2) if block2 is None else 4 + 8 / block + 32 / block2


@mistake(
    "bits_per_weight",
    seen="A scale for every zero weights?",
    named="This equals a bill for any block.",
    caught_by="test_no_block_at_all",
)
def any_block(block=64, block2=None):
    return reference.bits_per_weight(max(block, 1), None if block2 is None else max(block2, 1))
