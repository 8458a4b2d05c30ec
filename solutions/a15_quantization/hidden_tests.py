"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import pytest
import torch
from asks import bits_of, quantized, quantized_twice, round_trip, smoothed, spoken
from common import reviews
from common.preferences import generate
from common.quantization import plant_outliers
from common.tiny_lm import pretrained

from autograder.testing import needs, task, weight

# Tolerances, each with its reason.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings
PRODUCTS = {"rtol": 1e-4, "atol": 1e-4}  # float32: products of matrices, added in another order


def draw(seed):
    return torch.Generator().manual_seed(seed + 7000)


def normal(seed, *shape):
    return torch.randn(shape, generator=draw(seed))


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=draw(seed + 1))


def between_ties(seed, q, *shape):
    """Numbers whose quotient by 2^-k is a whole number between -q and q, and up to 0.45 more or less; q itself occurs."""
    numbers = whole(seed, -q + 1, q, *shape) + 0.9 * (torch.rand(shape, generator=draw(seed + 2)) - 0.5)
    numbers[..., 0] = q
    numbers[0] = -numbers[0]
    return numbers * 2.0 ** -(seed % 9)


def same(student, reference, name, *asked, **tolerance):
    student.ask(quantized, name, *asked).equals(reference.ask(quantized, name, *asked).value, **(tolerance or FLOAT32))


# ------------------------------------------------------------------------------------------------------ absmax_quantize


@task("absmax_quantize")
@weight(2)
def test_codes_and_scale(student, reference, seed):
    """The largest absolute value has the largest code, all others are rounded to the nearest."""
    same(student, reference, "absmax_quantize", between_ties(seed, 127, 4, 9))
    same(student, reference, "absmax_quantize", -between_ties(seed, 127, 4, 9).abs())


@task("absmax_quantize")
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_fewer_bits(student, reference, seed, bits):
    """With b bits the largest code is 2^(b-1) - 1, on both sides."""
    same(student, reference, "absmax_quantize", between_ties(seed, 2 ** (bits - 1) - 1, 3, 8), bits)


@task("absmax_quantize")
@weight(2)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_a_scale_for_each_slice(student, reference, seed, dim):
    """`dim` is reduced and stays with size 1; a slice of zeros has the scale 0."""
    x = between_ties(seed, 127, 4, 5, 3).transpose(-1, dim).contiguous()
    x = x * 2.0 ** whole(seed, -3, 4, *(1 if d == dim % 3 else n for d, n in enumerate(x.shape)))
    x.select((dim + 1) % 3, 1).zero_()
    same(student, reference, "absmax_quantize", x, 8, dim)


@task("absmax_quantize")
@needs("test_codes_and_scale")
def test_halves_go_to_the_even(student, reference, seed):
    """Exactly halfway between two codes, the even one is taken."""
    x = (whole(seed, -126, 126, 12) + 0.5) * 2.0 ** -(seed % 5)
    x[0] = 127 * 2.0 ** -(seed % 5)
    same(student, reference, "absmax_quantize", x)


@task("absmax_quantize")
@needs("test_codes_and_scale")
def test_what_has_no_codes(student, seed):
    """Bits outside of 2 to 8, nothing, infinity and NaN are refused."""
    for bits in (1, 9):
        student.absmax_quantize(normal(seed, 4), bits).refused()
    for bad in (torch.zeros(0), torch.tensor([1.0, torch.inf]), torch.tensor([torch.nan, 1.0])):
        student.absmax_quantize(bad).refused()


# --------------------------------------------------------------------------------------------------- zeropoint_quantize


def spread(seed, low, high, n=24, steps=255):
    """Numbers from `low` to `high` steps of 2^-k, both included, away from ties."""
    numbers = whole(seed, low, high + 1, n) + 0.8 * (torch.rand(n, generator=draw(seed + 2)) - 0.5)
    numbers = numbers.clamp(low, high)
    numbers[0], numbers[1] = low, high
    return numbers * 2.0 ** -(seed % 9)


@task("zeropoint_quantize")
@weight(2)
@pytest.mark.parametrize("low", [-255, -100, 0])
def test_all_codes_are_used(student, reference, seed, low):
    """The range goes from the smallest number to the largest, and 0 has a code of its own."""
    same(student, reference, "zeropoint_quantize", spread(seed, low, low + 255))


@task("zeropoint_quantize")
@weight(2)
@needs("test_all_codes_are_used")
def test_zero_is_always_inside(student, reference, seed):
    """Where all numbers have one sign, the range begins or ends at 0; all zeros have scale 1 and zero point 0."""
    shift = 2.0 ** -(seed % 9)
    for sign in (1, -1):
        same(student, reference, "zeropoint_quantize", sign * (spread(seed, 100, 255)))
    same(student, reference, "zeropoint_quantize", torch.zeros(3, 2) * shift)


@task("zeropoint_quantize")
@needs("test_all_codes_are_used")
@pytest.mark.parametrize("bits", [2, 5])
def test_fewer_bits_with_a_zero(student, reference, seed, bits):
    """With b bits the codes go from 0 to 2^b - 1."""
    n = 2**bits - 1
    same(student, reference, "zeropoint_quantize", spread(seed, -(n // 3), n - n // 3), bits)


@task("zeropoint_quantize")
@needs("test_all_codes_are_used")
def test_what_has_no_zero_point(student, seed):
    """Bits outside of 2 to 8, nothing, and NaN are refused."""
    for bits in (1, 9):
        student.zeropoint_quantize(normal(seed, 4), bits).refused()
    for bad in (torch.zeros(0), torch.tensor([1.0, torch.nan]), torch.tensor([-torch.inf, 1.0])):
        student.zeropoint_quantize(bad).refused()


# --------------------------------------------------------------------------------------------------------- int8_matmul


@task("int8_matmul")
@weight(2)
def test_a_product_of_codes(student, reference, seed):
    """The product of the codes, times both rows' scales."""
    x, w = between_ties(seed, 127, 5, 12), between_ties(seed + 1, 127, 4, 12)
    x, w = x * 2.0 ** whole(seed, -4, 5, 5, 1), w * 2.0 ** whole(seed + 1, -4, 5, 4, 1)
    student.int8_matmul(x, w).equals(reference.int8_matmul(x, w).value, **PRODUCTS)


@task("int8_matmul")
@weight(2)
def test_long_sums_are_exact(student, reference, seed):
    """A sum of 4,096 products of codes loses nothing."""
    x, w = whole(seed, -127, 128, 2, 4096).float(), whole(seed + 5, -127, 128, 3, 4096).float()
    x[:, 0], w[:, 0] = 127, 127
    # whole numbers up to 6e7: float32 keeps them to 4
    student.int8_matmul(x, w).equals(reference.int8_matmul(x, w).value, rtol=1e-6, atol=8)


@task("int8_matmul")
@needs("test_a_product_of_codes")
def test_what_has_no_product(student, seed):
    """Inner sizes that differ, and other numbers of dimensions, are refused."""
    student.int8_matmul(normal(seed, 2, 3), normal(seed, 2, 4)).refused()
    student.int8_matmul(normal(seed, 3), normal(seed, 2, 3)).refused()


# ----------------------------------------------------------------------------------------------------- llm_int8_linear


def with_outliers(seed, K=12, columns=3, M=6):
    """x whose outlier columns hold outliers and zeros only, and weights on which all published readings agree."""
    order = torch.randperm(K, generator=draw(seed + 3))
    outlier = order[:columns]
    x = between_ties(seed, 127, M, K)
    x = 4 * x / x.abs().max()
    loud = (7 + 90 * torch.rand(M, columns, generator=draw(seed + 4))) * (whole(seed + 5, 0, 2, M, columns) * 2 - 1)
    x[:, outlier] = loud * (torch.rand(M, columns, generator=draw(seed + 6)) < 0.4)
    if columns:
        x[0, outlier] = 50.0
    weight = whole(seed + 7, -127, 128, 5, K).float()
    if columns < K:
        weight[:, order[-1]] = 127
        x[:, order[-1]] = 4.0  # the largest of each row's ordinary numbers
    return x, weight * 2.0 ** whole(seed + 8, -9, -3, 5, 1)


@task("llm_int8_linear")
@weight(2)
@pytest.mark.parametrize("columns", [0, 3, 12])
def test_outliers_in_some_columns(student, reference, seed, columns):
    """Columns with an outlier in full precision, the others in int8: also if it is all of them, or none."""
    x, w = with_outliers(seed, columns=columns)
    bias = normal(seed + 9, 5) if columns else None
    student.llm_int8_linear(x, w, bias).equals(reference.llm_int8_linear(x, w, bias).value, **PRODUCTS)


@task("llm_int8_linear")
@weight(2)
@needs("test_outliers_in_some_columns")
def test_at_the_threshold_itself(student, reference, seed):
    """A number that is exactly at the threshold makes its column an outlier column; the threshold is an argument."""
    x, w = with_outliers(seed, columns=0)
    ordinary = int(torch.randperm(12, generator=draw(seed + 3))[-1])  # it holds the largest weight of each row
    at, below, large = [c for c in range(12) if c != ordinary][:3]
    x[:, at], x[:, below] = 0, 0
    x[2, at], x[3, below] = 80.0, -95.0
    x[1, large] = 20.0
    student.llm_int8_linear(x, w, None, 80.0).equals(reference.llm_int8_linear(x, w, None, 80.0).value, **PRODUCTS)


@task("llm_int8_linear")
@needs("test_outliers_in_some_columns")
def test_more_dimensions(student, reference, seed):
    """An outlier counts over all leading dimensions, and the result keeps them."""
    x, w = with_outliers(seed)
    x = x.view(2, 3, 12)
    student.llm_int8_linear(x, w).equals(reference.llm_int8_linear(x, w).value, **PRODUCTS)


@task("llm_int8_linear")
@needs("test_outliers_in_some_columns")
def test_large_weights_change_nothing(student, reference, seed):
    """Outliers are sought in x: weights above the threshold stay where they are."""
    x, w = with_outliers(seed, columns=1)
    w = w * 2.0**9
    student.llm_int8_linear(x, w).equals(reference.llm_int8_linear(x, w).value, rtol=1e-4, atol=1e-2)


@task("llm_int8_linear")
@needs("test_outliers_in_some_columns")
def test_what_cannot_be_multiplied(student, seed):
    """Another inner size, and a bias of another length, are refused."""
    student.llm_int8_linear(normal(seed, 2, 3), normal(seed, 4, 2)).refused()
    student.llm_int8_linear(normal(seed, 2, 3), normal(seed, 4, 3), normal(seed, 3)).refused()


# ------------------------------------------------------------------------------------------------------ smooth and fold


@task("smooth")
@weight(2)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5])
def test_factors(student, reference, seed, alpha):
    """X_absmax^alpha over the largest weight of each channel to the rest, over all rows."""
    asked = (normal(seed, 7).exp() * 5, normal(seed + 1, 4, 7), alpha)
    student.smooth(*asked).equals(reference.smooth(*asked).value, **FLOAT32)


@task("smooth")
@needs("test_factors")
def test_everything_moves(student, reference, seed):
    """With alpha 1 the factors are the activations' maxima."""
    asked = (normal(seed, 7).exp() * 5, normal(seed + 1, 4, 7), 1.0)
    student.smooth(*asked).equals(reference.smooth(*asked).value, **FLOAT32)


@task("smooth")
@needs("test_factors")
def test_one_input_for_several(student, reference, seed):
    """Matrices that read the same input share their factors."""
    asked = (normal(seed, 6).exp(), [normal(seed + i, 2 + i, 6) for i in (1, 2, 3)])
    student.smooth(*asked).equals(reference.smooth(*asked).value, **FLOAT32)


@task("smooth")
@weight(2)
@needs("test_factors")
def test_silent_channels(student, reference, seed):
    """A channel whose activations or weights are all 0 has the factor 1."""
    x, w = normal(seed, 6).exp(), normal(seed + 1, 4, 6)
    x[1] = x[4] = 0
    w[:, 2] = w[:, 4] = 0
    for alpha in (0.0, 0.5, 1.0):
        student.smooth(x, w, alpha).equals(reference.smooth(x, w, alpha).value, **FLOAT32)


@task("smooth")
@needs("test_factors")
def test_what_cannot_be_smoothed(student, seed):
    """An alpha outside of [0, 1], other channels, and no matrix are refused."""
    for alpha in (-0.1, 1.1):
        student.smooth(normal(seed, 3).exp(), normal(seed, 2, 3), alpha).refused()
    student.smooth(normal(seed, 3).exp(), normal(seed, 2, 4)).refused()
    student.smooth(normal(seed, 3).exp(), []).refused()


@task("fold")
@weight(2)
def test_norm_and_weights(student, reference, seed):
    """The norm's weight and bias are divided by s, the weights' columns multiplied; without a bias there is none."""
    g, b, w, s = normal(seed, 5), normal(seed + 1, 5), normal(seed + 2, 3, 5), normal(seed + 3, 5).exp()
    for bias in (b, None):
        student.ask(smoothed, g, bias, w, s).equals(reference.ask(smoothed, g, bias, w, s).value, **FLOAT32)


@task("fold")
@needs("test_norm_and_weights")
def test_several_readers(student, reference, seed):
    """A list of matrices comes back as a list."""
    asked = (normal(seed, 5), normal(seed + 1, 5), [normal(seed + i, i, 5) for i in (2, 3)], normal(seed + 4, 5).exp())
    student.ask(smoothed, *asked).equals(reference.ask(smoothed, *asked).value, **FLOAT32)


@task("fold")
@needs("test_norm_and_weights")
def test_what_cannot_be_folded(student, seed):
    """Norms, biases and weights of other channels are refused."""
    s = normal(seed, 4).exp()
    student.fold(normal(seed, 3), None, normal(seed, 2, 4), s).refused()
    student.fold(normal(seed, 4), normal(seed, 3), normal(seed, 2, 4), s).refused()
    student.fold(normal(seed, 4), None, normal(seed, 2, 3), s).refused()


# ------------------------------------------------------------------------------------------------------------------ NF4


@task("nf4_codebook")
@weight(3)
def test_sixteen_levels(student, reference):
    """The quantiles of the handout, ascending, from -1 to 1, with an exact 0."""
    levels = student.nf4_codebook().value
    student.nf4_codebook().equals(reference.nf4_codebook().value, rtol=0, atol=1e-6)
    assert (levels == 0).sum() == 1, "One level is 0, exactly."
    assert (float(levels[0]), float(levels[-1])) == (-1.0, 1.0), "The ends are -1 and 1, exactly."


SIZES = [(1,), (63,), (64,), (65,), (130,), (4, 48)]


def bell(seed, shape):
    """Weights of a bell curve, with another spread in each stretch of ten."""
    n = torch.Size(shape).numel()
    return (normal(seed, n) * 2.0 ** whole(seed, -3, 4, n // 10 + 1).repeat_interleave(10)[:n]).view(shape)


@task("nf4_quantize")
@weight(2)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_bytes_and_maxima(student, reference, seed, shape):
    """Nearest levels, two to a byte, the first in the high half; blocks of 64 along the flattened tensor."""
    same(student, reference, "nf4_quantize", bell(seed, shape))


@task("nf4_quantize")
@needs("test_bytes_and_maxima")
def test_other_blocks(student, reference, seed):
    """The size of a block is an argument, odd or larger than the tensor too."""
    for block in (5, 16, 1000):
        same(student, reference, "nf4_quantize", bell(seed, (3, 21)), block)


@task("nf4_quantize")
@weight(2)
@needs("test_bytes_and_maxima")
def test_halfway_goes_down(student, reference, seed):
    """Halfway between two levels the lower one is taken."""
    levels = reference.nf4_codebook().value
    halfway = (levels[1:] + levels[:-1]) / 2
    x = torch.cat([torch.ones(1), halfway[torch.randperm(15, generator=draw(seed))]])
    same(student, reference, "nf4_quantize", x)


@task("nf4_quantize")
@needs("test_bytes_and_maxima")
def test_blocks_of_zeros(student, reference, seed):
    """A block of zeros has a maximum of 0, and the level 7 throughout."""
    x = bell(seed, (5, 8))
    x[1:3] = 0
    same(student, reference, "nf4_quantize", x, 8)


@task("nf4_quantize")
@needs("test_bytes_and_maxima")
def test_what_cannot_be_packed(student, seed):
    """Nothing, infinity, and a block of 0 are refused."""
    student.nf4_quantize(torch.zeros(0)).refused()
    student.nf4_quantize(torch.tensor([1.0, torch.inf])).refused()
    student.nf4_quantize(normal(seed, 4), 0).refused()


@task("nf4_dequantize")
@weight(2)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_levels_times_maxima(student, reference, seed, shape):
    """The level of each half byte, the high one first, times the largest value of its block."""
    n = torch.Size(shape).numel()
    packed = whole(seed, 0, 256, -(-n // 2)).to(torch.uint8)
    asked = (packed, normal(seed, -(-n // 64)).exp(), shape)
    student.nf4_dequantize(*asked).equals(reference.nf4_dequantize(*asked).value, **FLOAT32)


@task("nf4_dequantize")
@needs("test_levels_times_maxima")
def test_there_and_back(student, reference, seed):
    """What was packed comes back in its shape, as near as sixteen levels are."""
    for shape, block in (((7, 9), 16), ((2, 3, 5), 64), ((33,), 8)):
        asked = (bell(seed, shape), block)
        student.ask(round_trip, *asked).equals(reference.ask(round_trip, *asked).value, **FLOAT32)


@task("nf4_dequantize")
@needs("test_levels_times_maxima")
def test_what_cannot_be_unpacked(student, seed):
    """Too few bytes, too many, and a number of maxima that does not fit, are refused."""
    packed = whole(seed, 0, 256, 8).to(torch.uint8)
    student.nf4_dequantize(packed, torch.ones(1), (17,)).refused()
    student.nf4_dequantize(packed, torch.ones(1), (14,)).refused()
    student.nf4_dequantize(packed, torch.ones(2), (16,)).refused()


# --------------------------------------------------------------------------------------------------- the second stage


@task("double_quantize")
@weight(2)
@pytest.mark.parametrize("n", [1, 255, 300])
def test_codes_of_centred_maxima(student, reference, seed, n):
    """The mean is taken away, each block has its scale, and each value the nearest of the 256 levels."""
    same(student, reference, "double_quantize", 2 + normal(seed, n).abs())


@task("double_quantize")
@needs("test_codes_of_centred_maxima")
def test_small_blocks_and_equal_maxima(student, reference, seed):
    """The size of a block is an argument; maxima that are all equal have scale 0 and codes of the level 0."""
    same(student, reference, "double_quantize", 1 + normal(seed, 50).abs(), 16)
    same(student, reference, "double_quantize", torch.full((20,), 0.5 + seed), 8)


@task("double_quantize")
@needs("test_codes_of_centred_maxima")
def test_what_has_no_second_stage(student, seed):
    """No maxima, two dimensions and a block of 0 are refused."""
    student.double_quantize(torch.zeros(0)).refused()
    student.double_quantize(normal(seed, 2, 3).abs()).refused()
    student.double_quantize(normal(seed, 4).abs(), 0).refused()


@task("double_dequantize")
@weight(2)
@pytest.mark.parametrize("block", [16, 256])
def test_maxima_come_back(student, reference, seed, block):
    """The level of each code, times the scale of its block, plus the mean."""
    codes = whole(seed, 0, 256, 70).to(torch.uint8)
    asked = (codes, normal(seed, -(-70 // block)).exp(), normal(seed + 1, 1)[0], block)
    student.double_dequantize(*asked).equals(reference.double_dequantize(*asked).value, **FLOAT32)
    maxima = 1 + normal(seed, 60).abs()
    student.ask(quantized_twice, maxima, block).equals(reference.ask(quantized_twice, maxima, block).value, **FLOAT32)


@task("double_dequantize")
@needs("test_maxima_come_back")
def test_what_has_no_first_stage(student, seed):
    """Too few scales and too many are refused."""
    codes = whole(seed, 0, 256, 20).to(torch.uint8)
    for n in (1, 3):
        student.double_dequantize(codes, torch.ones(n), torch.zeros(()), 10).refused()


@task("bits_per_weight")
@weight(2)
def test_bits_with_their_scales(student, reference, seed):
    """Four bits, and the shares of one block's and one second block's scale."""
    cases = [[2 ** (4 + seed % 6), None], [2 ** (4 + seed % 6), 2 ** (6 + seed % 4)], [48, 100], [1, 1]]
    student.ask(bits_of, cases).equals(reference.ask(bits_of, cases).value, **FLOAT32)


@task("bits_per_weight")
@needs("test_bits_with_their_scales")
def test_no_block_at_all(student):
    """Blocks below 1 are refused."""
    student.bits_per_weight(0).refused()
    student.bits_per_weight(64, 0).refused()


# -------------------------------------------------------------------------------------------- a model that has outliers

CHANNELS, FACTOR = [3, 17, 40], 400.0
WORSE = 1.02


def scene(seed):
    """A model with outliers, texts to ask it about, and the largest activations before its products."""
    model = plant_outliers(pretrained("reviews_base"), CHANNELS, FACTOR)
    generator = draw(seed)
    prompts, prompt_mask, _ = reviews.sample_prompts(64, generator)
    said = generate(pretrained("reviews_base"), prompts, prompt_mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
    tokens, mask = reviews.together(prompts, prompt_mask, *said)
    largest = [{} for _ in model.blocks]

    def watch(place, name):
        def hook(module, inputs):
            seen = inputs[0][mask].abs().amax(0)
            largest[place][name] = seen

        return hook

    handles = [
        getattr(block, name).register_forward_pre_hook(watch(i, name))
        for i, block in enumerate(model.blocks)
        for name in ("qkv", "up")
    ]
    with torch.no_grad():
        plain = perplexity(model(tokens, mask), tokens, mask)
    for handle in handles:
        handle.remove()
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    return model.config, weights, tokens, mask, largest, plain


def perplexity(logits, tokens, mask):
    """How many words the model hesitates between, at each real token of an answer."""
    first = reviews.PROMPT
    log_p = logits[:, first - 1 : -1].log_softmax(-1).gather(2, tokens[:, first:, None])[..., 0]
    real = mask[:, first:]
    return torch.exp(-(log_p * real).sum() / real.sum()).item()


@task("llm_int8_linear")
@weight(2)
@needs("test_outliers_in_some_columns")
def test_a_model_with_outliers_still_speaks(student, seed):
    """Through your layer a model whose activations have outliers is at most 2% more perplexed than in float."""
    config, weights, tokens, mask, _, plain = scene(seed)
    logits = student.ask(spoken, config, weights, tokens, mask, "llm_int8").value
    assert perplexity(logits, tokens, mask) <= WORSE * plain, "The model is more perplexed than in full precision."


@task("fold")
@weight(2)
@needs("test_norm_and_weights")
def test_a_smoothed_model_still_speaks(student, seed):
    """Smoothed and folded, one scale for a whole activation is enough: at most 2% more perplexed than in float."""
    config, weights, tokens, mask, largest, plain = scene(seed)
    logits = student.ask(spoken, config, weights, tokens, mask, "smooth", largest).value
    assert perplexity(logits, tokens, mask) <= WORSE * plain, "The model is more perplexed than in full precision."
