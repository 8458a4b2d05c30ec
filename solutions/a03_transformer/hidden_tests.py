"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone, in sizes that are all different, so that a swapped axis cannot hide. `@needs` stands on
every property that an empty answer has too: a model whose logits are all zero has the first loss of a fresh one.
"""

import math

import pytest
import torch
from asks import (
    branches_in_training,
    continued,
    continued_plainly,
    counted,
    drawn_often,
    drawn_with_seeds,
    first_loss,
    fresh_parameters,
    gradients_of_block,
    gradients_of_layer,
    gradients_of_model,
    gradients_were_on,
    input_after_block,
    input_after_layer,
    kept_config,
    longest_text_seen,
    number_of_parameters,
    parameters_of_layer,
    run_block,
    run_layer,
    run_layer_as_built,
    run_model,
    shapes_of_block,
    shapes_of_layer,
    shapes_of_model,
    twice_through_block,
    with_dropout,
)

from autograder.testing import Counted, needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: longer sums, and differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits; the sums here have fewer than ten terms
DEEP32 = {"rtol": 1e-4, "atol": 1e-5}  # the same through two blocks

B, T, D, F = 2, 5, 12, 7


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 1000))


# ------------------------------------------------------------------------------------------------- LayerNorm and RMSNorm


def of_norm(seed, name, d=D, dtype=torch.float64):
    """Weights that are neither ones nor zeros."""
    draw = numbers(seed + 5000)
    weights = {"weight": (1.5 + draw(d) / 4).to(dtype)}
    return weights | ({"bias": draw(d).to(dtype)} if name == "LayerNorm" else {})


@task("LayerNorm")
@weight(2)
def test_each_token_is_normed_by_its_own_features(student, reference, seed):
    """A token's features have their mean taken off and are divided by their own standard deviation."""
    x, weights = 2 + 3 * numbers(seed)(B, T, D), of_norm(seed, "LayerNorm")
    student.ask(run_layer, "LayerNorm", [D], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D], weights, x), **FLOAT64
    )


@task("LayerNorm")
@weight(2)
def test_a_large_eps_stands_inside_the_root(student, reference, seed):
    """With eps = 0.1 and quiet inputs, eps is added to the variance before the root is taken."""
    x, weights = numbers(seed)(B, T, D) / 4, of_norm(seed, "LayerNorm")
    student.ask(run_layer, "LayerNorm", [D, 0.1], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D, 0.1], weights, x), **FLOAT64
    )


@task("LayerNorm")
def test_a_new_norm_works_with_ones_zeros_and_the_usual_eps(student, reference, seed):
    """A new norm has a weight of ones, a bias of zeros, and eps 1e-5."""
    x = numbers(seed)(T, D) / 200
    student.ask(run_layer_as_built, "LayerNorm", [D], x).equals(
        reference.ask(run_layer_as_built, "LayerNorm", [D], x), **FLOAT64
    )
    expected = {"weight": torch.ones(D), "bias": torch.zeros(D)}
    student.ask(parameters_of_layer, "LayerNorm", [D]).equals(expected)


@task("LayerNorm")
@pytest.mark.parametrize("leading", [[], [3], [2, 3], [2, 3, 4]])
def test_any_leading_axes(student, reference, seed, leading):
    """A single token, a text, a batch, or a batch with heads: each token is normed as it would be alone."""
    x, weights = numbers(seed)(*leading, D), of_norm(seed, "LayerNorm")
    student.ask(run_layer, "LayerNorm", [D], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D], weights, x), **FLOAT64
    )


@task("LayerNorm")
def test_far_from_zero(student, reference, seed):
    """Features of ten thousand give or take one are normed as well as any others, in float32 too."""
    weights = of_norm(seed, "LayerNorm", dtype=torch.float32)
    x = (1e4 + numbers(seed)(T, D)).float()
    # at ten thousand, neighbouring float32 numbers are 0.001 apart, so a mean can be off by half of that
    student.ask(run_layer, "LayerNorm", [D], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D], weights, x), rtol=2e-3, atol=2e-3
    )


@task("LayerNorm")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_float32(student, reference, seed, dtype):
    """In half precision, numbers of several hundred are normed in float32 and rounded at the end."""
    dtype = getattr(torch, dtype)
    x = (100 + 400 * numbers(seed)(T, D)).to(dtype)
    weights = {"weight": torch.ones(D, dtype=dtype), "bias": torch.zeros(D, dtype=dtype)}
    # bfloat16 rounds a number below 4 by up to 0.008, float16 by 0.001; two roads may round to neighbours
    tolerance = 2e-2 if dtype == torch.bfloat16 else 3e-3
    student.ask(run_layer, "LayerNorm", [D], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D], weights, x), atol=tolerance
    )


@task("LayerNorm")
def test_gradients_of_a_layer_norm(student, reference, seed):
    """Gradients reach the input, the weight and the bias, and are right."""
    draw, weights = numbers(seed), of_norm(seed, "LayerNorm")
    x, cotangent = draw(B, T, D), draw(B, T, D)
    student.ask(gradients_of_layer, "LayerNorm", [D], weights, x, cotangent).equals(
        reference.ask(gradients_of_layer, "LayerNorm", [D], weights, x, cotangent), **GRADIENT
    )


@task("LayerNorm")
@needs("test_each_token_is_normed_by_its_own_features")
def test_the_input_is_left_as_it_was(student, seed):
    """The input is the same after the call as before it."""
    x = numbers(seed)(T, D)
    student.ask(input_after_layer, "LayerNorm", [D], of_norm(seed, "LayerNorm"), x).equals(x)


@task("LayerNorm")
@needs("test_each_token_is_normed_by_its_own_features")
def test_float32_stays_float32(student, reference, seed):
    """float32 inputs give float32 answers."""
    x, weights = numbers(seed, torch.float32)(T, D), of_norm(seed, "LayerNorm", dtype=torch.float32)
    student.ask(run_layer, "LayerNorm", [D], weights, x).equals(
        reference.ask(run_layer, "LayerNorm", [D], weights, x), **FLOAT32
    )


@task("LayerNorm")
@needs("test_each_token_is_normed_by_its_own_features")
def test_a_last_axis_of_another_size_is_refused(student, seed):
    """An input whose last axis is not d is refused, larger, smaller, or of size 1."""
    weights = of_norm(seed, "LayerNorm")
    for size in (D + 1, D - 1, 1):
        student.ask(run_layer, "LayerNorm", [D], weights, numbers(seed)(T, size)).refused()


@task("RMSNorm")
@weight(2)
def test_each_token_is_divided_by_its_own_root_mean_square(student, reference, seed):
    """A token's features are divided by the root of their mean square; their mean stays."""
    x, weights = 2 + 3 * numbers(seed)(B, T, D), of_norm(seed, "RMSNorm")
    student.ask(run_layer, "RMSNorm", [D], weights, x).equals(
        reference.ask(run_layer, "RMSNorm", [D], weights, x), **FLOAT64
    )


@task("RMSNorm")
@weight(2)
def test_a_large_eps_stands_inside_that_root(student, reference, seed):
    """With eps = 0.1 and quiet inputs, eps is added to the mean square before the root is taken."""
    x, weights = numbers(seed)(B, T, D) / 4, of_norm(seed, "RMSNorm")
    student.ask(run_layer, "RMSNorm", [D, 0.1], weights, x).equals(
        reference.ask(run_layer, "RMSNorm", [D, 0.1], weights, x), **FLOAT64
    )


@task("RMSNorm")
def test_a_new_one_works_with_ones_and_its_own_eps(student, reference, seed):
    """A new RMSNorm has a weight of ones, no bias, and eps 1e-6."""
    x = numbers(seed)(T, D) / 500
    student.ask(run_layer_as_built, "RMSNorm", [D], x).equals(
        reference.ask(run_layer_as_built, "RMSNorm", [D], x), **FLOAT64
    )
    student.ask(parameters_of_layer, "RMSNorm", [D]).equals({"weight": torch.ones(D)})


@task("RMSNorm")
@pytest.mark.parametrize("leading", [[], [3], [2, 3, 4]])
def test_any_axes_in_front(student, reference, seed, leading):
    """A single token, a text, or a batch with heads: each token is normed as it would be alone."""
    x, weights = numbers(seed)(*leading, D), of_norm(seed, "RMSNorm")
    student.ask(run_layer, "RMSNorm", [D], weights, x).equals(
        reference.ask(run_layer, "RMSNorm", [D], weights, x), **FLOAT64
    )


@task("RMSNorm")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_squares_in_float32(student, reference, seed, dtype):
    """In half precision, numbers of several hundred are squared in float32, where the squares fit."""
    dtype = getattr(torch, dtype)
    x = (400 * numbers(seed)(T, D)).to(dtype)
    weights = {"weight": torch.ones(D, dtype=dtype)}
    # bfloat16 rounds a number below 4 by up to 0.008, float16 by 0.001; two roads may round to neighbours
    tolerance = 2e-2 if dtype == torch.bfloat16 else 3e-3
    student.ask(run_layer, "RMSNorm", [D], weights, x).equals(
        reference.ask(run_layer, "RMSNorm", [D], weights, x), atol=tolerance
    )


@task("RMSNorm")
def test_gradients_of_an_rms_norm(student, reference, seed):
    """Gradients reach the input and the weight, and are right."""
    draw, weights = numbers(seed), of_norm(seed, "RMSNorm")
    x, cotangent = draw(B, T, D), draw(B, T, D)
    student.ask(gradients_of_layer, "RMSNorm", [D], weights, x, cotangent).equals(
        reference.ask(gradients_of_layer, "RMSNorm", [D], weights, x, cotangent), **GRADIENT
    )


@task("RMSNorm")
@needs("test_each_token_is_divided_by_its_own_root_mean_square")
def test_its_input_is_left_as_it_was(student, seed):
    """The input is the same after the call as before it."""
    x = numbers(seed)(T, D)
    student.ask(input_after_layer, "RMSNorm", [D], of_norm(seed, "RMSNorm"), x).equals(x)


@task("RMSNorm")
@needs("test_each_token_is_divided_by_its_own_root_mean_square")
def test_other_sizes_are_refused(student, seed):
    """An input whose last axis is not d is refused, larger, smaller, or of size 1."""
    weights = of_norm(seed, "RMSNorm")
    for size in (D + 1, D - 1, 1):
        student.ask(run_layer, "RMSNorm", [D], weights, numbers(seed)(T, size)).refused()


# --------------------------------------------------------------------------------------------------------------- SwiGLU


def of_gate(seed, bias=False, dtype=torch.float64):
    draw = numbers(seed + 6000)
    weights = {"gate_proj.weight": draw(F, D), "up_proj.weight": draw(F, D), "down_proj.weight": draw(D, F)}
    if bias:
        weights |= {"gate_proj.bias": draw(F), "up_proj.bias": draw(F), "down_proj.bias": draw(D)}
    return {name: t.to(dtype) / 2 for name, t in weights.items()}


@task("SwiGLU")
@weight(3)
def test_a_smooth_gate_decides_what_passes(student, reference, seed):
    """down(silu(gate(x)) * up(x)): the gate is activated, the other branch is not."""
    x, weights = numbers(seed)(B, T, D), of_gate(seed)
    student.ask(run_layer, "SwiGLU", [D, F], weights, x).equals(
        reference.ask(run_layer, "SwiGLU", [D, F], weights, x), **FLOAT64
    )


@task("SwiGLU")
def test_all_three_biases_are_added(student, reference, seed):
    """With bias=True all three projections add their bias."""
    x, weights = numbers(seed)(B, T, D), of_gate(seed, bias=True)
    student.ask(run_layer, "SwiGLU", [D, F, True], weights, x).equals(
        reference.ask(run_layer, "SwiGLU", [D, F, True], weights, x), **FLOAT64
    )


@task("SwiGLU")
def test_gradients_reach_all_three_matrices(student, reference, seed):
    """Gradients reach the input and all three matrices, and are right."""
    draw, weights = numbers(seed), of_gate(seed, bias=True)
    x, cotangent = draw(B, T, D), draw(B, T, D)
    student.ask(gradients_of_layer, "SwiGLU", [D, F, True], weights, x, cotangent).equals(
        reference.ask(gradients_of_layer, "SwiGLU", [D, F, True], weights, x, cotangent), **GRADIENT
    )


@task("SwiGLU")
@needs("test_a_smooth_gate_decides_what_passes")
def test_matrices_and_biases_have_the_agreed_names(student, reference, seed):
    """Without `bias` there are three matrices, with it three biases more, by the agreed names."""
    for bias in (False, True):
        expected = reference.ask(shapes_of_layer, "SwiGLU", [D, F + seed % 3, bias]).value
        found = student.ask(shapes_of_layer, "SwiGLU", [D, F + seed % 3, bias]).value
        assert found == expected, "Names or shapes of the parameters are not the agreed ones."


# ---------------------------------------------------------------------------------------------------------------- Block

LLAMA = {
    "vocab_size": 13,
    "context": 6,
    "n_layers": 3,
    "n_heads": 3,
    "d_model": D,
    "d_ff": F,
    "rope_base": 100.0,
    "norm_eps": 0.02,
}
GPT2 = {**LLAMA, "norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}
FAMILIES = {"llama": LLAMA, "gpt2": GPT2}


def filled(shapes, seed, dtype=torch.float64):
    """Weights of these shapes: norms around one, everything else of the size that trained weights have."""
    draw = numbers(seed + 7000)
    weights = {}
    for name, shape in shapes.items():
        drawn = draw(*shape)
        if "norm" in name and name.endswith("weight"):
            weights[name] = 1.5 + drawn / 4
        else:
            weights[name] = drawn / 2 if len(shape) == 1 else drawn / shape[-1] ** 0.5
    return {name: t.to(dtype) for name, t in weights.items()}


def of_block(reference, config, seed):
    return filled(reference.ask(shapes_of_block, config).value, seed)


@task("Block")
@weight(2)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_two_branches_add_to_the_stream(student, reference, seed, family):
    """x + attn(norm1(x)), then that plus mlp(norm2(that)), for both families."""
    config, x = FAMILIES[family], numbers(seed)(B, T, D)
    weights = of_block(reference, config, seed)
    student.ask(run_block, config, weights, x).equals(reference.ask(run_block, config, weights, x), **FLOAT64)


@task("Block")
@weight(2)
@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("mlp", ["swiglu", "gelu"])
def test_any_norm_goes_with_any_mlp(student, reference, seed, norm, mlp):
    """Norm, MLP, biases and eps are those of the configuration, in every combination."""
    config = {**LLAMA, "norm": norm, "mlp": mlp, "bias": True, "norm_eps": 0.3}
    x, weights = numbers(seed)(B, T, D), of_block(reference, config, seed)
    student.ask(run_block, config, weights, x).equals(reference.ask(run_block, config, weights, x), **FLOAT64)


@task("Block")
@needs("test_two_branches_add_to_the_stream")
def test_silence_changes_nothing(student, reference, seed):
    """When both branches answer zero, a block passes its input through, exactly."""
    x = numbers(seed)(B, T, D)
    weights = of_block(reference, GPT2, seed)
    weights = {name: 0 * t if "o_proj" in name or "down_proj" in name else t for name, t in weights.items()}
    student.ask(run_block, GPT2, weights, x).equals(x)


@task("Block")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradients_reach_every_weight_of_a_block(student, reference, seed, family):
    """Gradients reach the input and every weight, those of both norms among them, and are right."""
    config, draw = FAMILIES[family], numbers(seed)
    x, cotangent, weights = draw(B, T, D), draw(B, T, D), of_block(reference, config, seed)
    student.ask(gradients_of_block, config, weights, x, cotangent).equals(
        reference.ask(gradients_of_block, config, weights, x, cotangent), **GRADIENT
    )


@task("Block")
@needs("test_two_branches_add_to_the_stream")
def test_a_token_reads_its_past_only(student, reference, seed):
    """Changing a token leaves the answers before it alone."""
    draw, changed = numbers(seed), 1 + seed % (T - 1)
    x, weights = draw(B, T, D), of_block(reference, LLAMA, seed)
    other = x.clone()
    other[:, changed] = draw(B, D)
    one = student.ask(run_block, LLAMA, weights, x).value[:, :changed]
    two = student.ask(run_block, LLAMA, weights, other).value[:, :changed]
    # the same numbers in the same order, but the fused call may sum them in other blocks
    assert torch.allclose(one, two, **FLOAT64), "Changing a token changed answers before it."


@task("Block")
@needs("test_two_branches_add_to_the_stream")
def test_eval_mode_drops_nothing(student, reference, seed):
    """In eval mode a block with dropout 0.5 answers the same twice, and as one without dropout."""
    config, x = {**LLAMA, "dropout": 0.5}, numbers(seed)(B, T, D)
    weights = of_block(reference, config, seed)
    one, two = student.ask(twice_through_block, config, weights, x).value
    assert torch.equal(one, two), "In eval mode two calls disagree."
    student.ask(run_block, config, weights, x).equals(reference.ask(run_block, LLAMA, weights, x), **FLOAT64)


@task("Block")
@needs("test_two_branches_add_to_the_stream")
def test_training_drops_parts_of_each_branch_and_none_of_the_stream(student, reference, seed):
    """In training at dropout 0.5, each entry of what a branch adds is dropped or doubled; the stream is whole."""
    config, x = {**LLAMA, "dropout": 0.5}, numbers(seed)(6, 6, D)
    weights = of_block(reference, config, seed)
    added = student.ask(branches_in_training, config, weights, x).value
    whole_branches = reference.ask(branches_in_training, {**config, "dropout": 0.0}, weights, x).value
    for branch, whole_branch in whole_branches.items():
        assert added[branch].shape == whole_branch.shape, "A block answers in the shape of its input."
        # differences of numbers of size one: a few of their last digits are noise
        dropped = added[branch].abs() < 1e-9
        doubled = (added[branch] - 2 * whole_branch).abs() < 1e-9
        assert (dropped | doubled).all(), "Every entry that a branch adds is either dropped or doubled, at dropout 0.5."
        # 432 coins: a quarter and three quarters are ten standard deviations off
        assert 0.25 < dropped.double().mean() < 0.75, "About half of what a branch adds should be dropped."


@task("Block")
@needs("test_two_branches_add_to_the_stream")
def test_the_stream_is_not_changed_in_place(student, reference, seed):
    """The input is the same after the call as before it."""
    x = numbers(seed)(B, T, D)
    student.ask(input_after_block, LLAMA, of_block(reference, LLAMA, seed), x).equals(x)


@task("Block")
@needs("test_two_branches_add_to_the_stream")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_children_go_by_the_agreed_names(student, reference, seed, family):
    """norm1, attn, norm2 and mlp, with the parameters that the configuration asks for."""
    config = {**FAMILIES[family], "d_ff": F + seed % 4}
    expected = reference.ask(shapes_of_block, config).value
    assert student.ask(shapes_of_block, config).value == expected, "Names or shapes of the parameters differ."


# ------------------------------------------------------------------------------------------------------------------ GPT

LARGER = {**GPT2, "vocab_size": 97, "context": 40, "n_layers": 4, "n_heads": 4, "d_model": 64, "d_ff": 160}
LARGER_LLAMA = {**LARGER, "norm": "rmsnorm", "mlp": "swiglu", "positions": "rope", "bias": False}


def of_model(reference, config, seed, dtype=torch.float64):
    return filled(reference.ask(shapes_of_model, config).value, seed, dtype)


def some_tokens(seed, config=LLAMA, length=T):
    return whole(seed, 0, config["vocab_size"], B, length)


@task("GPT")
@weight(3)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_logits_with_given_weights(student, reference, seed, family):
    """With the same weights, the logits are those of the reference, for both families."""
    config, tokens = FAMILIES[family], some_tokens(seed)
    weights = of_model(reference, config, seed)
    student.ask(run_model, config, weights, tokens).equals(reference.ask(run_model, config, weights, tokens), **FLOAT64)


@task("GPT")
@weight(2)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_table_learns_from_both_ends(student, reference, seed, family):
    """Gradients reach every weight; the table of embeddings is taught as input and as head."""
    config, tokens = FAMILIES[family], some_tokens(seed)
    weights, cotangent = of_model(reference, config, seed), numbers(seed)(B, T, config["vocab_size"])
    student.ask(gradients_of_model, config, weights, tokens, cotangent).equals(
        reference.ask(gradients_of_model, config, weights, tokens, cotangent), **GRADIENT
    )


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_head_is_the_table(student, reference, seed, family):
    """A model owns one table of size V times D: its head is its table of embeddings."""
    config = {**FAMILIES[family], "vocab_size": 20 + seed % 9}
    student.ask(number_of_parameters, config).equals(reference.ask(number_of_parameters, config))


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_weights_go_by_their_agreed_names(student, reference, seed, family):
    """tok_emb, pos_emb (learned positions only), blocks.0 and so on, norm; and model.config."""
    config = {**FAMILIES[family], "context": 6 + seed % 5}
    expected = reference.ask(shapes_of_model, config).value
    assert student.ask(shapes_of_model, config).value == expected, "Names or shapes of the weights differ."
    student.ask(kept_config, config).equals([config["context"], D, config["vocab_size"]])


@task("GPT")
@weight(2)
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_fresh_matrices_are_drawn_small(student, reference, seed, family):
    """Fresh matrices and embeddings have mean 0 and standard deviation 0.02."""
    weights = student.ask(fresh_parameters, LARGER if family == "gpt2" else LARGER_LLAMA).value
    for kind in ("tok_emb", "q_proj", "k_proj", "v_proj", "up_proj", "gate_proj", "pos_emb"):
        drawn = [t.flatten().double() for name, t in weights.items() if name.endswith(f"{kind}.weight")]
        if drawn and kind != "pos_emb":
            check_spread(torch.cat(drawn), 0.02, kind)
        elif drawn:  # few numbers, so only roughly: 5 standard deviations of what 2560 numbers show
            assert abs(torch.cat(drawn).std() / 0.02 - 1) < 0.07, "Learned positions should spread by 0.02 as well."


@task("GPT")
@weight(2)
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("layers", [2, 5])
def test_what_writes_into_the_stream_gets_quieter_with_depth(student, seed, layers):
    """Fresh o_proj and down_proj spread by 0.02 divided by the root of twice the number of layers."""
    config = {**LARGER, "n_layers": layers}
    weights = student.ask(fresh_parameters, config).value
    for kind in ("o_proj", "down_proj"):
        drawn = torch.cat([t.flatten().double() for name, t in weights.items() if name.endswith(f"{kind}.weight")])
        check_spread(drawn, 0.02 / math.sqrt(2 * layers), kind)


@task("GPT")
@needs("test_logits_with_given_weights")
def test_fresh_biases_are_zero_and_norms_are_one(student, seed):
    """Fresh biases are 0, and fresh weights of norms are 1."""
    weights = student.ask(fresh_parameters, {**GPT2, "d_ff": F + seed % 4}).value
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert (tensor == 0).all(), "A fresh bias is not 0."
        elif "norm" in name:
            assert (tensor == 1).all(), "The fresh weight of a norm is not 1."


def check_spread(drawn, spread, kind):
    """Five per cent hold for a normal draw of 6,000 numbers or more by five standard deviations."""
    assert abs(drawn.std() / spread - 1) < 0.05, f"Fresh {kind} weights do not have the spread that the handout says."
    assert abs(drawn.mean()) < 0.07 * spread, f"Fresh {kind} weights are not centred on 0."


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_fresh_model_is_almost_equally_unsure(student, seed, family):
    """The first loss is within 0.15 of ln V: a fresh model is almost equally unsure about every token."""
    config = LARGER if family == "gpt2" else LARGER_LLAMA
    tokens, targets = whole(seed, 0, 97, 8, 40), whole(seed + 1, 0, 97, 8, 40)
    loss = student.ask(first_loss, config, tokens, targets).value
    assert abs(loss - math.log(97)) < 0.15, "A fresh model should be almost equally unsure about every token."


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_predictions_read_the_past_only(student, reference, seed, family):
    """Changing a token leaves all logits before it alone, and changes those from it on."""
    config, changed = FAMILIES[family], 1 + seed % (T - 1)
    tokens, weights = some_tokens(seed), of_model(reference, config, seed)
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % config["vocab_size"]
    one = student.ask(run_model, config, weights, tokens).value
    two = student.ask(run_model, config, weights, other).value
    # numbers of size one, through three blocks
    assert (one[:, :changed] - two[:, :changed]).abs().max() < 1e-6, "Changing a token changed earlier predictions."
    assert (one[:, changed:] - two[:, changed:]).abs().max() > 1e-3, "Changing a token changed nothing after it."


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_full_context_is_read(student, reference, seed, family):
    """A text as long as the context is read to its end."""
    config = {**FAMILIES[family], "context": 4 + seed % 4}
    tokens, weights = some_tokens(seed, config, config["context"]), of_model(reference, config, seed)
    student.ask(run_model, config, weights, tokens).equals(reference.ask(run_model, config, weights, tokens), **FLOAT64)


@task("GPT")
@needs("test_logits_with_given_weights")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_longer_texts_than_the_context_are_refused(student, reference, seed, family):
    """One token more than the context is refused, with rotary positions too, and so are many more."""
    config = FAMILIES[family]
    weights = of_model(reference, config, seed)
    for more in (1, 1 + seed % 7):
        student.ask(run_model, config, weights, some_tokens(seed, config, config["context"] + more)).refused()


@task("GPT")
@needs("test_logits_with_given_weights")
def test_no_tokens_give_no_logits(student, reference, seed):
    """No tokens, (B, 0), give (B, 0, V)."""
    weights = of_model(reference, GPT2, seed)
    nothing = torch.zeros(B + seed % 3, 0, dtype=torch.int64)
    student.ask(run_model, GPT2, weights, nothing).equals(torch.zeros(B + seed % 3, 0, 13, dtype=torch.float64))


@task("GPT")
def test_logits_stay_float32(student, reference, seed):
    """A float32 model gives float32 logits."""
    tokens, weights = some_tokens(seed), of_model(reference, LLAMA, seed, torch.float32)
    student.ask(run_model, LLAMA, weights, tokens).equals(reference.ask(run_model, LLAMA, weights, tokens), **DEEP32)


# ----------------------------------------------------------------------------------------------------- count_parameters

WORDS = {
    "llama": {},
    "llama with biases": {"bias": True},
    "gpt2": {"norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True},
    "gpt2 without biases": {"norm": "layernorm", "mlp": "gelu", "positions": "learned"},
    "mixed": {"norm": "layernorm", "mlp": "swiglu", "positions": "learned", "bias": True},
    "mixed the other way": {"norm": "rmsnorm", "mlp": "gelu", "positions": "rope", "bias": True},
}


def some_sizes(seed, words, count=8):
    """Small configurations, no two sizes alike."""
    drawn = whole(seed, 0, 4, count, 5).tolist()
    return [
        {"vocab_size": 11 + 5 * v, "context": 31 + 6 * c, "n_layers": 1 + n, "n_heads": 2, "d_model": 4 + 2 * d}
        | {"d_ff": 17 + 3 * f, **words}
        for v, c, n, d, f in drawn
    ]


@task("count_parameters")
@weight(6)
@pytest.mark.parametrize("family", list(WORDS))
def test_the_formula_counts_what_a_model_has(student, reference, seed, family):
    """The formula gives what a model has when it is built, in eight sizes."""
    configs = some_sizes(seed, WORDS[family])
    built = [reference.ask(number_of_parameters, config).value for config in configs]
    student.ask(counted, configs).equals(built)


@task("count_parameters")
@needs("test_the_formula_counts_what_a_model_has")
def test_models_too_large_to_build_are_counted(student, reference, seed):
    """A model of a hundred layers and ten thousand features is counted as quickly as a small one."""
    sizes = some_sizes(seed, WORDS["gpt2"])
    large = [{**size, "n_layers": 96 + size["n_layers"], "d_model": 12288, "d_ff": 49152} for size in sizes]
    student.ask(counted, large).equals(reference.ask(counted, large))


@task("count_parameters")
@needs("test_the_formula_counts_what_a_model_has")
def test_words_that_no_model_knows_are_refused(student, seed):
    """An unknown norm, an unknown MLP and unknown positions are refused."""
    (config,) = some_sizes(seed, {}, count=1)
    for key in ("norm", "mlp", "positions"):
        student.ask(counted, [{**config, key: "unheard of"}]).refused()


# ----------------------------------------------------------------------------------------------------- next_token_probs

ROWS, V = 6, 17


def some_logits(seed, spread=2.0):
    return spread * numbers(seed)(ROWS, V)


def between(logits, temperature, top_k, about):
    """A top_p near `about` that lies halfway between two running totals of every row's distribution, or nearly so.

    The cut of no row is closer than a hundredth of the widest gap that there is near `about`.
    """
    scaled = logits / temperature
    if top_k is not None:
        scaled = scaled.masked_fill(scaled < scaled.topk(top_k).values[:, -1:], -torch.inf)
    totals = scaled.softmax(-1).sort(descending=True).values.cumsum(-1).flatten()
    tried = torch.linspace(about - 0.08, about + 0.08, 81, dtype=torch.float64)
    distance = (tried[:, None] - totals).abs().min(dim=1).values
    return float(tried[distance.argmax()])


@task("next_token_probs")
@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.5])
def test_temperature_divides_the_logits(student, reference, seed, temperature):
    """Logits are divided by the temperature: above 1 chances even out, below 1 they sharpen."""
    logits = some_logits(seed)
    student.next_token_probs(logits, temperature).equals(reference.next_token_probs(logits, temperature), **FLOAT64)


@task("next_token_probs")
@weight(2)
def test_top_k_keeps_the_k_largest(student, reference, seed):
    """top_k keeps the k most likely tokens of each row, and they share everything."""
    logits, k = some_logits(seed), 3 + seed % 5
    student.next_token_probs(logits, 1.0, k).equals(reference.next_token_probs(logits, 1.0, k), **FLOAT64)


@task("next_token_probs")
def test_ties_with_the_kth_stay(student, reference, seed):
    """Every token that ties with the k-th largest stays."""
    logits, k = whole(seed, 0, 5, ROWS, V).double(), 4
    student.next_token_probs(logits, 1.0, k).equals(reference.next_token_probs(logits, 1.0, k), **FLOAT64)


@task("next_token_probs")
@weight(2)
@pytest.mark.parametrize("about", [0.5, 0.75, 0.9])
def test_top_p_keeps_the_token_that_crosses(student, reference, seed, about):
    """top_p keeps the most likely tokens until their total reaches p: the one that crosses the line stays."""
    logits = some_logits(seed)
    top_p = between(logits, 1.0, None, about)
    student.next_token_probs(logits, 1.0, None, top_p).equals(
        reference.next_token_probs(logits, 1.0, None, top_p), **FLOAT64
    )


@task("next_token_probs")
@needs("test_top_p_keeps_the_token_that_crosses")
def test_at_least_one_token_stays(student, seed):
    """However small top_p is, the most likely token stays."""
    logits = some_logits(seed)
    expected = torch.nn.functional.one_hot(logits.argmax(-1), V).double()
    student.next_token_probs(logits, 1.0, None, 1e-6).equals(expected, **FLOAT64)


@task("next_token_probs")
@weight(2)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_filters_come_after_temperature(student, reference, seed, temperature):
    """The temperature is applied before top_p looks: a hot distribution lets more tokens through."""
    logits = some_logits(seed)
    top_p = between(logits, temperature, None, 0.7)
    student.next_token_probs(logits, temperature, None, top_p).equals(
        reference.next_token_probs(logits, temperature, None, top_p), **FLOAT64
    )


@task("next_token_probs")
@weight(2)
def test_top_p_looks_at_what_top_k_left(student, reference, seed):
    """top_k comes first; top_p looks at what is left, rescaled to sum to one."""
    logits = some_logits(seed, 0.7)
    top_p = between(logits, 1.0, 5, 0.55)
    student.next_token_probs(logits, 1.0, 5, top_p).equals(reference.next_token_probs(logits, 1.0, 5, top_p), **FLOAT64)


@task("next_token_probs")
@needs("test_temperature_divides_the_logits")
def test_wide_filters_change_nothing(student, seed):
    """top_k of V or more and top_p of 1 change nothing."""
    logits = some_logits(seed)
    expected = logits.softmax(-1)
    student.next_token_probs(logits, 1.0, V).equals(expected, **FLOAT64)
    student.next_token_probs(logits, 1.0, V + 1 + seed % 9).equals(expected, **FLOAT64)
    student.next_token_probs(logits, 1.0, None, 1.0).equals(expected, **FLOAT64)


@task("next_token_probs")
def test_temperature_zero_is_the_argmax(student, reference, seed):
    """Temperature 0 puts all mass on the largest logit, whatever the filters say."""
    logits = some_logits(seed)
    student.next_token_probs(logits, 0.0).equals(reference.next_token_probs(logits, 0.0))
    student.next_token_probs(logits, 0.0, 3, 0.4).equals(reference.next_token_probs(logits, 0.0))


@task("next_token_probs")
def test_temperature_zero_takes_the_lowest_index_of_equals(student, reference, seed):
    """At temperature 0, of several equal largest logits the first one takes everything."""
    logits = whole(seed, 0, 4, ROWS, V).double()
    student.next_token_probs(logits, 0.0).equals(reference.next_token_probs(logits, 0.0))


@task("next_token_probs")
@needs("test_temperature_divides_the_logits")
@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_rows_sum_to_one_and_cut_tokens_are_zero(student, seed, temperature):
    """Whatever is cut, each row sums to one, and what was cut is exactly zero."""
    logits = some_logits(seed)
    for top_k, top_p in ((4, None), (None, 0.63), (9, 0.81)):
        probs = student.next_token_probs(logits, temperature, top_k, top_p).value
        # seventeen numbers, each right to sixteen digits
        assert ((probs.sum(-1) - 1).abs() < 1e-12).all(), "A row no longer sums to one."
        assert (probs >= 0).all(), "A probability is negative."
        assert (probs == 0).any(dim=-1).all(), "Nothing was cut, or what was cut is not exactly zero."


@task("next_token_probs")
def test_logits_of_a_thousand_do_no_harm(student, reference, seed):
    """Logits of a thousand, or a temperature of 0.002, give finite, right probabilities."""
    logits = some_logits(seed)
    student.next_token_probs(1000 + logits).equals(reference.next_token_probs(1000 + logits), rtol=1e-9, atol=1e-12)
    # divided by 0.002, logits of size 2 lose three of their sixteen digits
    student.next_token_probs(logits, 0.002).equals(reference.next_token_probs(logits, 0.002), rtol=1e-8, atol=1e-12)


@task("next_token_probs")
def test_probabilities_have_the_dtype_of_the_logits(student, reference, seed):
    """float32 logits give float32 probabilities, with filters and at temperature 0."""
    logits = some_logits(seed).float()
    student.next_token_probs(logits, 0.7, 6).equals(reference.next_token_probs(logits, 0.7, 6), **FLOAT32)
    student.next_token_probs(logits, 0.0).equals(reference.next_token_probs(logits, 0.0))


@task("next_token_probs")
@needs("test_temperature_divides_the_logits")
def test_senseless_knobs_are_refused(student, seed):
    """A negative temperature, a top_k below 1, and a top_p that is not in (0, 1] are refused."""
    logits = some_logits(seed)
    student.next_token_probs(logits, -1.0 - seed % 3).refused()
    student.next_token_probs(logits, 1.0, 0).refused()
    student.next_token_probs(logits, 1.0, -2).refused()
    for top_p in (0.0, -0.5, 1.5):
        student.next_token_probs(logits, 1.0, None, top_p).refused()


# --------------------------------------------------------------------------------------------------------------- sample

GREEDY = {"temperature": 0.0}
STATES = 41


def script(seed, vocabulary=9):
    """The table of a scripted model: rows with one clear winner each."""
    return 3 * numbers(seed + 8000)(STATES, vocabulary)


def prompts(seed, rows=4, length=3, vocabulary=9):
    return whole(seed, 0, vocabulary, rows, length)


def a_busy_end(texts, length):
    """A token that ends some rows early and others late or never: the one after which the rows differ most."""
    new = texts[:, length:]
    n = new.shape[1]

    def ends(token):
        return {int((row == token).nonzero()[0, 0]) if (row == token).any() else n for row in new}

    return max(range(9), key=lambda token: (len(ends(token)), -max(ends(token))))


@task("sample")
@weight(2)
def test_each_token_follows_from_all_before_it(student, reference, seed):
    """At temperature 0 each row is continued by the best token after everything that is there."""
    table, idx = script(seed), prompts(seed)
    student.ask(continued, table, idx, 10, GREEDY).equals(reference.ask(continued, table, idx, 10, GREEDY))


@task("sample")
def test_plain_functions_are_models_too(student, reference, seed):
    """A model may be a plain function, without modes and without a config."""
    table, idx = script(seed), prompts(seed)
    student.ask(continued_plainly, table, idx, 8, GREEDY).equals(
        reference.ask(continued_plainly, table, idx, 8, GREEDY)
    )


@task("sample")
@weight(2)
def test_each_row_ends_for_itself(student, reference, seed):
    """A row that has drawn eos is filled up with it, and the others go on."""
    table, idx = script(seed), prompts(seed, rows=7)
    free = reference.ask(continued, table, idx, 14, GREEDY).value
    options = {**GREEDY, "eos": a_busy_end(free, 3)}
    student.ask(continued, table, idx, 14, options).equals(reference.ask(continued, table, idx, 14, options))


@task("sample")
def test_a_text_that_ends_early_is_filled_up(student, reference, seed):
    """When every row has ended, what is missing of its n tokens is eos."""
    table, idx, eos = script(seed), prompts(seed), 1 + seed % 8
    table[:, eos] += 4  # so it comes soon
    options = {**GREEDY, "eos": eos}
    student.ask(continued, table, idx, 20, options).equals(reference.ask(continued, table, idx, 20, options))


@task("sample")
def test_token_zero_can_be_the_end(student, reference, seed):
    """eos may be any token, 0 among them."""
    table, idx = script(seed), prompts(seed, rows=7)
    for eos in (1 + seed % 8, 0):
        easier = table.clone()
        easier[:, eos] += 1  # so that it comes, but not to all at once
        options = {**GREEDY, "eos": eos}
        student.ask(continued, easier, idx, 14, options).equals(reference.ask(continued, easier, idx, 14, options))


@task("sample")
def test_an_eos_in_the_prompt_ends_nothing(student, reference, seed):
    """An eos in the prompt ends nothing, not even as its last token."""
    table, idx = script(seed), prompts(seed, rows=7)
    eos = seed % 9
    idx[:4, 1] = eos
    idx[2:6, 2] = eos
    options = {**GREEDY, "eos": eos}
    student.ask(continued, table, idx, 6, options).equals(reference.ask(continued, table, idx, 6, options))


@task("sample")
@weight(2)
def test_the_model_is_shown_its_context(student, reference, seed):
    """The model is shown the last `context` tokens, and everything while there are fewer."""
    context = 4 + seed % 3
    arguments = (script(seed), prompts(seed), 10, {**GREEDY, "context": context})
    student.ask(continued, *arguments).equals(reference.ask(continued, *arguments))
    assert student.ask(longest_text_seen, *arguments).value <= context, "You showed the model more than it can hold."


@task("sample")
def test_a_model_that_says_its_context_is_shown_no_more(student, reference, seed):
    """Without the argument, the model's own config says how much it is shown; with it, the argument does."""
    context = 4 + seed % 3
    shown_less = (script(seed), prompts(seed), 10, {**GREEDY, "context": context - 1}, context)
    student.ask(continued, *shown_less).equals(reference.ask(continued, *shown_less))
    arguments = (script(seed), prompts(seed), 10, GREEDY, context)
    student.ask(continued, *arguments).equals(reference.ask(continued, *arguments))
    assert student.ask(longest_text_seen, *arguments).value <= context, "You showed the model more than it can hold."


@task("sample")
def test_a_prompt_longer_than_the_context_is_kept_whole(student, reference, seed):
    """A prompt that is longer than the context stands whole in the answer, though the model sees only its end."""
    table, idx = script(seed), prompts(seed, length=8)
    arguments = (table, idx, 5, {**GREEDY, "context": 3 + seed % 3})
    student.ask(continued, *arguments).equals(reference.ask(continued, *arguments))


@task("sample")
@weight(3)
@pytest.mark.parametrize("knobs", ["none", "hot", "top_k", "top_p"])
def test_draws_follow_next_token_probs(student, reference, seed, knobs):
    """Of 20,000 draws of two tokens, each pair appears as often as next_token_probs says."""
    options = {"none": {}, "hot": {"temperature": 1.7}, "top_k": {"top_k": 3}, "top_p": {"top_p": 0.7}}[knobs]
    table, starts, count = numbers(seed + 8000)(5, 5), torch.tensor([seed % 5, (seed + 2) % 5]), 10_000
    probs = reference.next_token_probs(table, **options).value
    expected = count * (probs[starts][:, :, None] * probs).flatten(1)
    found = student.ask(drawn_often, table, starts, count, options, seed).value
    assert found.shape == expected.shape, "A token was drawn that does not exist."
    assert (found[expected == 0] == 0).all(), "A token was drawn that the filters had cut."
    # five standard deviations of a count, and one more for pairs that are almost impossible
    allowed = 5 * (expected * (1 - expected / count)).sqrt() + 1
    assert ((found - expected).abs() <= allowed).all(), "Some pairs appear too often, others too rarely."


@task("sample")
@needs("test_draws_follow_next_token_probs")
@pytest.mark.parametrize("globally", [False, True])
def test_a_generator_fixes_the_text(student, seed, globally):
    """The same generator draws the same text, another one another; without one, torch's own generator decides."""
    table, idx = numbers(seed + 8000)(STATES, 9) / 4, prompts(seed)
    seeds = [seed, seed + 1, seed]
    one, other, again = student.ask(drawn_with_seeds, table, idx, 20, {}, seeds, globally).value
    assert torch.equal(one, again), "Two draws with the same random numbers differ."
    assert not torch.equal(one, other), "Two draws with different random numbers are the same."


@task("sample")
@needs("test_each_token_follows_from_all_before_it")
@pytest.mark.parametrize("training", [True, False])
def test_dropout_sleeps_and_the_mode_comes_back(student, seed, training):
    """While it writes, the model is in eval mode; afterwards it is in the mode in which it came."""
    answer = student.ask(with_dropout, script(seed), prompts(seed), 12, GREEDY, training).value
    assert answer["modes"] == [False], "The model ran in training mode."
    assert torch.equal(*answer["texts"]), "Sampling at temperature 0 gave two answers."
    assert answer["after"] == [training, training], "The model was not handed back in the mode in which it came."


@task("sample")
@needs("test_each_token_follows_from_all_before_it")
def test_nothing_is_remembered_for_gradients(student, seed):
    """The model runs without gradients, and they are on again for the caller."""
    answer = student.ask(gradients_were_on, script(seed), prompts(seed), 4, GREEDY).value
    assert answer["during"] == [False], "The model ran with gradients on."
    assert answer["after"], "Gradients are off for the caller afterwards."


@task("sample")
@needs("test_each_token_follows_from_all_before_it")
def test_no_new_tokens_is_a_copy_of_the_prompt(student, seed):
    """With n = 0 the prompt comes back as it is, also with an eos in it."""
    idx = prompts(seed)
    student.ask(continued, script(seed), idx, 0, GREEDY).equals(idx)
    student.ask(continued, script(seed), idx, 0, {**GREEDY, "eos": int(idx[0, 0])}).equals(idx)


@task("sample")
@needs("test_each_token_follows_from_all_before_it")
def test_the_prompt_is_left_alone(student, seed):
    """The prompt that was handed in is the same afterwards, and stands at the beginning of the answer."""
    table, idx = script(seed).float(), prompts(seed)

    def model(tokens):
        return table[(tokens * torch.arange(1, tokens.shape[1] + 1)).cumsum(dim=1) % STATES]

    text = student.sample(Counted(model, 100), idx, 6, 0.0).value  # a direct call: a changed argument fails
    assert torch.equal(text[:, :3], idx), "The answer does not begin with the prompt."
    assert text.shape == (4, 9), "The answer is (B, T + n)."
