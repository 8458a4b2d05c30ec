"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone, in sizes that are all different, so that a swapped axis cannot hide. `@needs` stands on
every property that an empty answer has too: zeros are left alone by any permutation.
"""

import itertools

import pytest
import torch
from asks import (
    build_module,
    cached_in_chunks,
    continued_from,
    every_split,
    full_forward,
    gradient_of_rope,
    gradients_of_attention,
    gradients_of_module,
    parameter_shapes,
    reused_cache,
    run_module,
)

from autograder.testing import needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: longer sums, and differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits; the sums here have fewer than ten terms
ANGLES = {"rtol": 1e-5, "atol": 1e-5}  # angles may be float32: at positions below 64 they are off by up to 4e-6
TURNED_GRADIENT = {"rtol": 1e-4, "atol": 1e-4}  # the same angles, in gradients that add up over a whole text
HALF = {"atol": 4e-3}  # float16 rounds a number between 1 and 2 by up to 5e-4, at each of a few steps

B, H, T_Q, T_K, D_HEAD, D_V = 2, 3, 4, 6, 8, 5


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 1000))


def some_mask(seed, *shape):
    """A random mask in which every query sees at least one key and misses at least one."""
    scores = torch.rand(*shape, generator=torch.Generator().manual_seed(seed + 2000))
    scores.scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)
    scores.scatter_(-1, scores.argmin(-1, keepdim=True), 0.0)
    return scores > 0.5


# ---------------------------------------------------------------------------------------------------------- causal_mask


@task("causal_mask")
def test_each_token_sees_itself_and_its_past(student, reference, seed):
    """With as many queries as keys, each token sees itself and everything before it, and nothing else."""
    T = 3 + seed % 5
    student.causal_mask(T, T).equals(reference.causal_mask(T, T))


@task("causal_mask")
@weight(2)
def test_the_last_query_stands_on_the_last_key(student, reference, seed):
    """With fewer queries than keys, the queries are the newest tokens: all older keys are visible to each of them."""
    T_q = 2 + seed % 4
    T_k = T_q + 2 + seed % 3
    student.causal_mask(T_q, T_k).equals(reference.causal_mask(T_q, T_k))


@task("causal_mask")
def test_queries_before_the_first_key_see_nothing(student, reference, seed):
    """Turn a wide mask into a tall one, with more queries than keys, and the first queries see no key at all."""
    few = 2 + seed % 4
    many = few + 2 + seed % 3
    student.causal_mask(few, many).equals(reference.causal_mask(few, many))
    student.causal_mask(many, few).equals(reference.causal_mask(many, few))


@task("causal_mask")
@needs("test_the_last_query_stands_on_the_last_key")
def test_a_single_new_token_sees_every_key(student, seed):
    """A single query, as in generation, sees every key."""
    T_k = 1 + seed % 9
    student.causal_mask(1, T_k).equals(torch.ones(1, T_k, dtype=torch.bool))


@task("causal_mask")
@needs("test_the_last_query_stands_on_the_last_key")
def test_zero_sizes_give_empty_masks(student, seed):
    """Zero queries or zero keys give an empty bool mask of the right shape."""
    n = 1 + seed % 6
    student.causal_mask(0, n).equals(torch.zeros(0, n, dtype=torch.bool))
    student.causal_mask(n, 0).equals(torch.zeros(n, 0, dtype=torch.bool))
    student.causal_mask(0, 0).equals(torch.zeros(0, 0, dtype=torch.bool))


@task("causal_mask")
@needs("test_the_last_query_stands_on_the_last_key")
def test_negative_sizes_are_refused(student, seed):
    """A negative number of queries or of keys is refused."""
    n = 1 + seed % 6
    student.causal_mask(-1, n).refused()
    student.causal_mask(n, -1).refused()


# ------------------------------------------------------------------------------------------------------------ attention


def queries_keys_values(seed, leading=(), d=D_HEAD, d_v=D_V, dtype=torch.float64):
    """q (..., 4, d), k (..., 6, d), v (..., 6, d_v)."""
    draw = numbers(seed, dtype)
    return draw(*leading, T_Q, d), draw(*leading, T_K, d), draw(*leading, T_K, d_v)


@task("attention")
def test_equal_keys_average_the_values(student, seed):
    """Where all keys are alike, each query answers with the plain mean of the values."""
    q, k, v = queries_keys_values(seed)
    student.attention(q, k[:1].expand(T_K, D_HEAD), v).equals(v.mean(dim=0).expand(T_Q, D_V), **FLOAT64)


@task("attention")
def test_each_query_spreads_its_weight_over_the_keys(student, reference, seed):
    """With features of size one there is nothing to scale: the softmax of each query's scores weighs the values."""
    q, k, v = queries_keys_values(seed, d=1)
    student.attention(q, k, v).equals(reference.attention(q, k, v), **FLOAT64)


@task("attention")
@weight(2)
def test_scores_are_divided_by_the_root_of_the_head_size(student, reference, seed):
    """Scores are divided by the square root of d, the size of a query and a key."""
    q, k, v = queries_keys_values(seed, d=11)
    student.attention(q, k, v).equals(reference.attention(q, k, v), **FLOAT64)


@task("attention")
@pytest.mark.parametrize("leading", [[2], [2, 3], [2, 1, 3]])
def test_leading_axes_are_carried_along(student, reference, seed, leading):
    """A batch, or a batch with heads, attends as each of its members would alone."""
    q, k, v = queries_keys_values(seed, leading)
    student.attention(q, k, v).equals(reference.attention(q, k, v), **FLOAT64)


@task("attention")
@weight(2)
def test_visible_keys_share_all_of_the_weight(student, reference, seed):
    """Keys where the mask is False get no weight, and those where it is True share all of it."""
    q, k, v = queries_keys_values(seed)
    mask = some_mask(seed, T_Q, T_K)
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT64)


@task("attention")
@pytest.mark.parametrize("shape", [[4, 6], [2, 1, 1, 6], [2, 1, 4, 6], [1, 3, 4, 6], [2, 3, 4, 6]])
def test_masks_broadcast_over_batch_and_heads(student, reference, seed, shape):
    """A mask may leave out batch, heads or queries, and then holds for all of them."""
    q, k, v = queries_keys_values(seed, (B, H))
    mask = some_mask(seed, *shape)
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT64)


@task("attention")
@needs("test_visible_keys_share_all_of_the_weight")
def test_a_mask_of_true_is_no_mask(student, seed):
    """A mask that is True everywhere changes nothing."""
    q, k, v = queries_keys_values(seed, (B,))
    everything = torch.ones(T_Q, T_K, dtype=torch.bool)
    student.attention(q, k, v, everything).equals(student.attention(q, k, v), **FLOAT64)


@task("attention")
def test_a_query_that_may_look_nowhere_answers_zero(student, reference, seed):
    """A query whose row of the mask is all False answers exactly zero, and the other queries are as ever."""
    q, k, v = queries_keys_values(seed, (B,))
    mask = some_mask(seed, B, T_Q, T_K)
    mask[0, seed % T_Q] = False
    mask[1, (seed + 1) % T_Q] = False
    answer = student.attention(q, k, v, mask)
    assert answer.value.isfinite().all(), "A query that may look nowhere turned into NaN, and NaN spreads."
    answer.equals(reference.attention(q, k, v, mask), **FLOAT64)
    nowhere = ~mask.any(dim=-1)
    assert (answer.value[nowhere] == 0).all(), "A query that may look nowhere answers almost zero: make it exact."


@task("attention")
def test_a_query_that_may_look_nowhere_passes_back_zeros(student, reference, seed):
    """A query that may look nowhere passes back zeros, finite ones, and the other gradients are as ever."""
    q, k, v = queries_keys_values(seed)
    mask = some_mask(seed, T_Q, T_K)
    mask[seed % T_Q] = False
    cotangent = numbers(seed + 1)(T_Q, D_V)
    answer = student.ask(gradients_of_attention, q, k, v, mask, cotangent)
    finite = all(gradient.isfinite().all() for gradient in answer.value.values())
    assert finite, "A gradient is NaN: what does a softmax over no keys send back, even if its answer is replaced?"
    answer.equals(reference.ask(gradients_of_attention, q, k, v, mask, cotangent), **GRADIENT)
    assert (answer.value["q"][seed % T_Q] == 0).all(), "That query's gradient is almost zero: make it exact."


@task("attention")
@needs("test_a_query_that_may_look_nowhere_answers_zero")
def test_no_keys_give_zeros(student, seed):
    """With no keys at all, every query answers zero."""
    q, k, v = queries_keys_values(seed, (B,))
    nothing = torch.zeros(B, T_Q, D_V, dtype=torch.float64)
    student.attention(q, k[:, :0], v[:, :0]).equals(nothing)
    student.attention(q, k[:, :0], v[:, :0], torch.zeros(T_Q, 0, dtype=torch.bool)).equals(nothing)


@task("attention")
@needs("test_visible_keys_share_all_of_the_weight")
def test_no_queries_give_an_empty_answer(student, seed):
    """With no queries there is an empty answer of the right shape."""
    q, k, v = queries_keys_values(seed, (B,))
    student.attention(q[:, :0], k, v).equals(torch.zeros(B, 0, D_V, dtype=torch.float64))


@task("attention")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_ten_thousand_do_no_harm(student, reference, seed, dtype):
    """Scores of plus and minus ten thousand give finite, right answers."""
    draw = numbers(seed, getattr(torch, dtype))
    k = torch.tensor([[1.0], [0.5], [0.0], [-0.25], [-0.5], [-1.0]], dtype=getattr(torch, dtype))
    q = torch.tensor([[1e4], [-1e4], [2.0], [0.0]], dtype=getattr(torch, dtype))
    v = draw(T_K, D_V)
    answer = student.attention(q, k, v)
    assert answer.value.isfinite().all(), "Large scores became infinite on the way: what leaves a softmax unchanged?"
    answer.equals(reference.attention(q, k, v), **(FLOAT64 if dtype == "float64" else FLOAT32))


@task("attention")
def test_a_hidden_key_stays_hidden_however_low_the_visible_scores(student, reference, seed):
    """A hidden key stays hidden even where every visible score is minus ten thousand."""
    q = torch.tensor([[-1e4], [-1.0002e4], [-0.9999e4], [1e4]], dtype=torch.float64)
    k = torch.ones(T_K, 1, dtype=torch.float64)
    v = numbers(seed)(T_K, D_V)
    mask = some_mask(seed, T_Q, T_K)
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT64)


@task("attention")
def test_a_score_of_exactly_zero_counts(student, reference, seed):
    """A visible key with a score of exactly zero keeps its weight."""
    q = whole(seed, -1, 2, T_Q, D_HEAD).double()
    q[seed % T_Q] = 0.0
    k = torch.eye(D_HEAD, dtype=torch.float64)[:T_K]
    v = numbers(seed)(T_K, D_V)
    mask = some_mask(seed, T_Q, T_K)
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT64)


@task("attention")
@needs("test_visible_keys_share_all_of_the_weight")
def test_the_order_of_keys_does_not_matter(student, seed):
    """Shuffling keys and values together, and the mask with them, changes nothing."""
    q, k, v = queries_keys_values(seed)
    mask = some_mask(seed, T_Q, T_K)
    order = torch.randperm(T_K, generator=torch.Generator().manual_seed(seed))
    student.attention(q, k[order], v[order], mask[:, order]).equals(student.attention(q, k, v, mask), **FLOAT64)


@task("attention")
@needs("test_visible_keys_share_all_of_the_weight")
def test_answers_are_averages_of_visible_values(student, seed):
    """Each answer is an average of visible values: weights are never negative and add up to one."""
    q, k, _ = queries_keys_values(seed)
    mask = some_mask(seed, T_Q, T_K)
    weights = student.attention(q, k, torch.eye(T_K, dtype=torch.float64), mask).value  # values that name their key
    assert weights.shape == (T_Q, T_K), "The answer should have a row for each query and the size of a value."
    assert (weights >= 0).all(), "A value enters with a negative weight."
    assert (weights[~mask] == 0).all(), "A hidden value enters the average."
    # six weights, each right to sixteen digits
    assert ((weights.sum(dim=-1) - 1).abs() < 1e-12).all(), "The weights of a query do not add up to one."


@task("attention")
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_queries_keys_and_values(student, reference, seed, masked):
    """Gradients reach queries, keys and values, and are right."""
    q, k, v = queries_keys_values(seed, (B,))
    mask = some_mask(seed, T_Q, T_K) if masked else None
    cotangent = numbers(seed + 1)(B, T_Q, D_V)
    student.ask(gradients_of_attention, q, k, v, mask, cotangent).equals(
        reference.ask(gradients_of_attention, q, k, v, mask, cotangent), **GRADIENT
    )


@task("attention")
def test_inputs_need_not_be_contiguous(student, reference, seed):
    """Inputs whose numbers do not lie side by side in memory are read rightly."""
    draw = numbers(seed)
    q = draw(B, T_Q, H, D_HEAD).transpose(1, 2)  # (B, H, T_q, d)
    k = draw(B, H, D_HEAD, T_K).transpose(2, 3)  # (B, H, T_k, d)
    v = draw(B, H, T_K, 2 * D_V)[..., ::2]  # (B, H, T_k, d_v)
    student.attention(q, k, v).equals(reference.attention(q, k, v), **FLOAT64)


@task("attention")
@pytest.mark.parametrize("masked", [False, True])
def test_inputs_are_left_as_they_were(student, reference, seed, masked):
    """Queries, keys, values and mask are the same after the call as before it."""
    q, k, v = queries_keys_values(seed, (B,))
    mask = some_mask(seed, T_Q, T_K) if masked else None
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT64)


@task("attention")
def test_float32_stays_float32(student, reference, seed):
    """float32 inputs give a float32 answer."""
    q, k, v = queries_keys_values(seed, (B,), dtype=torch.float32)
    mask = some_mask(seed, T_Q, T_K)
    student.attention(q, k, v, mask).equals(reference.attention(q, k, v, mask), **FLOAT32)


@task("attention")
@needs("test_scores_are_divided_by_the_root_of_the_head_size")
def test_queries_and_keys_of_different_size_are_refused(student, seed):
    """Queries and keys of different size are refused."""
    q, k, v = queries_keys_values(seed, (B,))
    student.attention(q[..., :-1], k, v).refused()


@task("attention")
@needs("test_scores_are_divided_by_the_root_of_the_head_size")
def test_keys_without_values_are_refused(student, seed):
    """As many values as keys are asked for; other numbers are refused."""
    q, k, v = queries_keys_values(seed, (B,))
    student.attention(q, k, v[:, :-1]).refused()


@task("attention")
@needs("test_visible_keys_share_all_of_the_weight")
@pytest.mark.parametrize("kind", ["zeros and ones", "zeros and minus infinity", "int64"])
def test_masks_that_are_not_bool_are_refused(student, seed, kind):
    """A mask of numbers, whatever they are meant to say, is refused."""
    q, k, v = queries_keys_values(seed, (B,))
    visible = some_mask(seed, T_Q, T_K)
    mask = {
        "zeros and ones": visible.double(),
        "zeros and minus infinity": torch.zeros(T_Q, T_K, dtype=torch.float64).masked_fill(~visible, -torch.inf),
        "int64": visible.long(),
    }[kind]
    student.attention(q, k, v, mask).refused()


# ----------------------------------------------------------------------------------------------------------------- rope


@task("rope")
@weight(2)
def test_each_pair_turns_at_its_own_speed(student, reference, seed):
    """Feature i turns with feature i + d/2, by the position times base to the power -2i/d."""
    x, positions = numbers(seed)(B, H, 4, 6), torch.arange(4)
    student.rope(x, positions).equals(reference.rope(x, positions), **ANGLES)


@task("rope")
def test_a_single_pair_turns_from_the_first_feature_to_the_second(student, seed):
    """With d = 2, the point (1, 0) at position p becomes (cos p, sin p)."""
    positions = whole(seed, 1, 40, 5)
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(5, 2)
    expected = torch.stack([positions.double().cos(), positions.double().sin()], dim=-1)
    student.rope(x, positions).equals(expected, **ANGLES)


@task("rope")
@weight(2)
def test_tokens_turn_by_the_positions_given(student, reference, seed):
    """Positions need not begin at 0, nor be in order: 5, 9, 2 are turned as 5, 9, 2."""
    x, positions = numbers(seed)(B, H, 3, 8), torch.tensor([5, 9, 2])
    student.rope(x, positions).equals(reference.rope(x, positions), **ANGLES)


@task("rope")
def test_the_base_sets_the_speeds(student, reference, seed):
    """With base 500 the slow pairs turn faster than with base 10000."""
    x, positions = numbers(seed)(H, 4, 8), whole(seed, 20, 60, 4)
    student.rope(x, positions, 500.0).equals(reference.rope(x, positions, 500.0), **ANGLES)


@task("rope")
def test_each_text_may_have_its_own_positions(student, reference, seed):
    """Positions (B, T) belong to the texts of a batch (B, H, T, d), the same for every head."""
    x, positions = numbers(seed)(B, H, 4, 6), whole(seed, 0, 60, B, 4)
    student.rope(x, positions).equals(reference.rope(x, positions), **ANGLES)


@task("rope")
@pytest.mark.parametrize("leading", [[], [3], [2, 3]])
def test_any_number_of_leading_axes(student, reference, seed, leading):
    """One text, a batch, or a batch with heads: tokens stand on the last axis but one."""
    x, positions = numbers(seed)(*leading, 5, 6), whole(seed, 0, 60, 5)
    student.rope(x, positions).equals(reference.rope(x, positions), **ANGLES)


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
def test_lengths_are_kept(student, seed):
    """A rotation changes no vector's length."""
    x, positions = numbers(seed)(H, 4, 8), whole(seed, 1, 60, 4)
    turned = student.rope(x, positions).value
    assert turned.shape == x.shape, "A rotated tensor has the shape it had before."
    # cos and sin of one angle, in float32: their squares add up to 1 within 1e-6
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-5), "A vector changed its length."


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
def test_position_zero_is_the_identity(student, seed):
    """At position 0 nothing turns."""
    x = numbers(seed)(H, 3, 8)
    student.rope(x, torch.zeros(3, dtype=torch.int64)).equals(x, **FLOAT64)


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
def test_only_the_distance_enters_the_product(student, seed):
    """A rotated query times a rotated key depends on how far apart they are, not on where."""
    draw = numbers(seed)
    q, k = draw(1, 8), draw(1, 8)
    m, n, shift = (int(p) for p in whole(seed, 1, 20, 3))
    here = student.rope(q, torch.tensor([m])).value @ student.rope(k, torch.tensor([n])).value.T
    there = student.rope(q, torch.tensor([m + shift])).value @ student.rope(k, torch.tensor([n + shift])).value.T
    # float32 angles: eight products of numbers up to 4, each off by up to 1e-5
    assert torch.allclose(here, there, atol=1e-3), "Moving query and key on by the same distance changed their product."


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
def test_gradients_turn_back(student, reference, seed):
    """The gradient of a rotation is the rotation backwards."""
    draw = numbers(seed)
    x, cotangent, positions = draw(B, H, 4, 6), draw(B, H, 4, 6), whole(seed, 0, 60, 4)
    student.ask(gradient_of_rope, x, positions, cotangent).equals(
        reference.ask(gradient_of_rope, x, positions, cotangent), **ANGLES
    )


@task("rope")
def test_float32_stays_float32_when_turned(student, reference, seed):
    """float32 goes in and float32 comes out."""
    x, positions = numbers(seed, torch.float32)(B, H, 4, 6), whole(seed, 0, 60, 4)
    student.rope(x, positions).equals(reference.rope(x, positions), **ANGLES)


@task("rope")
def test_half_precision_does_not_blur_far_positions(student, reference, seed):
    """In float16 too, far positions are told apart: angles are computed in float32 or finer."""
    sign = 2 * whole(seed, 0, 2, 5, 6) - 1
    x = (sign * (1 + numbers(seed)(5, 6).abs().clamp(max=0.5))).half()  # sizes between 1 and 1.5
    positions = 2 * whole(seed, 1100, 1500, 5) + 1  # odd numbers above 2048, which float16 does not have
    student.rope(x, positions).equals(reference.rope(x, positions), **HALF)


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
def test_an_odd_size_is_refused(student, seed):
    """Features come in pairs, so an odd d is refused."""
    student.rope(numbers(seed)(H, 4, 7), torch.arange(4)).refused()


@task("rope")
@needs("test_tokens_turn_by_the_positions_given")
@pytest.mark.parametrize("length", [3, 5])
def test_positions_of_another_length_are_refused(student, seed, length):
    """Four tokens have four positions; three or five are refused."""
    student.rope(numbers(seed)(H, 4, 6), torch.arange(length)).refused()


# --------------------------------------------------------------------------------------------------- MultiHeadAttention

# Three heads of size four: B = 2 texts of T = 5 tokens, D = 12. All four sizes differ.
T, D = 5, 12


def config(d_model=D, n_heads=H, bias=False, rope_base=None):
    """The arguments of MultiHeadAttention."""
    return {"d_model": d_model, "n_heads": n_heads, "bias": bias, "rope_base": rope_base}


def weights_for(seed, d_model=D, bias=False, dtype=torch.float64):
    """Weights that keep the size of what passes through, so that scores are neither flat nor extreme."""
    draw = numbers(seed + 500, dtype)
    weights = {}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        weights[f"{name}.weight"] = draw(d_model, d_model) * 1.5 / d_model**0.5
        if bias:
            weights[f"{name}.bias"] = draw(d_model)
    return weights


@task("MultiHeadAttention")
def test_one_head_is_attention_between_projections(student, reference, seed):
    """A single head projects, attends and projects again."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    student.ask(run_module, config(n_heads=1), weights, x).equals(
        reference.ask(run_module, config(n_heads=1), weights, x), **FLOAT64
    )


@task("MultiHeadAttention")
@weight(2)
def test_heads_are_neighbouring_blocks_of_features(student, reference, seed):
    """Head h owns the features from h*d to (h+1)*d - 1, on the way in and on the way out."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    student.ask(run_module, config(), weights, x).equals(reference.ask(run_module, config(), weights, x), **FLOAT64)


@task("MultiHeadAttention")
@needs("test_one_head_is_attention_between_projections")
@pytest.mark.parametrize("bias", [False, True])
def test_parameters_have_the_agreed_names_and_shapes(student, reference, seed, bias):
    """The projections are q_proj, k_proj, v_proj and o_proj, with a bias only where one is asked for."""
    width, heads = 6 + 2 * (seed % 4), 2
    student.ask(parameter_shapes, config(width, heads, bias)).equals(
        reference.ask(parameter_shapes, config(width, heads, bias))
    )


@task("MultiHeadAttention")
def test_biases_are_added(student, reference, seed):
    """With bias=True all four projections add theirs."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed, bias=True)
    student.ask(run_module, config(bias=True), weights, x).equals(
        reference.ask(run_module, config(bias=True), weights, x), **FLOAT64
    )


@task("MultiHeadAttention")
def test_one_mask_holds_for_every_text(student, reference, seed):
    """A mask (T, T) hides the same keys in every text and every head."""
    x, weights, mask = numbers(seed)(B, T, D), weights_for(seed), some_mask(seed, T, T)
    student.ask(run_module, config(), weights, x, mask).equals(
        reference.ask(run_module, config(), weights, x, mask), **FLOAT64
    )


@task("MultiHeadAttention")
@pytest.mark.parametrize("texts", [2, 3])
def test_each_text_may_have_its_own_mask(student, reference, seed, texts):
    """A mask (B, T, T) belongs to the texts of the batch, also where there are as many heads as texts."""
    x, weights, mask = numbers(seed)(texts, T, D), weights_for(seed), some_mask(seed, texts, T, T)
    student.ask(run_module, config(), weights, x, mask).equals(
        reference.ask(run_module, config(), weights, x, mask), **FLOAT64
    )


@task("MultiHeadAttention")
def test_a_token_that_may_look_nowhere_answers_with_the_output_bias(student, reference, seed):
    """A token that may look nowhere reads zeros, so only the output's bias is left of it."""
    x, weights, mask = numbers(seed)(B, T, D), weights_for(seed, bias=True), some_mask(seed, T, T)
    mask[seed % T] = False
    student.ask(run_module, config(bias=True), weights, x, mask).equals(
        reference.ask(run_module, config(bias=True), weights, x, mask), **FLOAT64
    )


@task("MultiHeadAttention")
@needs("test_heads_are_neighbouring_blocks_of_features")
def test_without_positions_order_does_not_matter(student, seed):
    """Without positions and mask, shuffling the tokens shuffles the answers and nothing else."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    order = torch.randperm(T, generator=torch.Generator().manual_seed(seed))
    shuffled = student.ask(run_module, config(), weights, x[:, order])
    shuffled.equals(student.ask(run_module, config(), weights, x).value[:, order], **FLOAT64)


@task("MultiHeadAttention")
@needs("test_heads_are_neighbouring_blocks_of_features")
def test_without_a_base_positions_do_nothing(student, seed):
    """Without rope_base, positions change nothing."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    student.ask(run_module, config(), weights, x, None, whole(seed, 0, 60, T)).equals(
        student.ask(run_module, config(), weights, x), **FLOAT64
    )


@task("MultiHeadAttention")
@weight(2)
def test_queries_and_keys_turn_by_their_places(student, reference, seed):
    """With rope_base, the queries and keys of every head are turned at positions 0 to T - 1."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=10000.0)
    student.ask(run_module, rotary, weights, x).equals(reference.ask(run_module, rotary, weights, x), **ANGLES)


@task("MultiHeadAttention")
def test_the_modules_base_sets_the_speeds(student, reference, seed):
    """The module turns by its own base, here 50."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=50.0)
    student.ask(run_module, rotary, weights, x).equals(reference.ask(run_module, rotary, weights, x), **ANGLES)


@task("MultiHeadAttention")
@pytest.mark.parametrize("shape", [[5], [2, 5]])
def test_positions_may_be_given(student, reference, seed, shape):
    """Positions (T,) or (B, T) take the place of 0 to T - 1."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=10000.0)
    positions = whole(seed, 0, 60, *shape)
    student.ask(run_module, rotary, weights, x, None, positions).equals(
        reference.ask(run_module, rotary, weights, x, None, positions), **ANGLES
    )


@task("MultiHeadAttention")
def test_values_are_never_turned(student, seed):
    """A token that sees only itself reads its own value unturned, whatever its position."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    only_itself = torch.eye(T, dtype=torch.bool)
    expected = x @ weights["v_proj.weight"].T @ weights["o_proj.weight"].T
    answer = student.ask(run_module, config(rope_base=100.0), weights, x, only_itself, whole(seed, 1, 60, T))
    answer.equals(expected, **FLOAT64)


@task("MultiHeadAttention")
@needs("test_queries_and_keys_turn_by_their_places")
def test_moving_the_whole_text_changes_nothing(student, seed):
    """With rotary positions only distances count: moving all tokens on by the same number changes nothing."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=100.0)
    positions = whole(seed, 0, 30, T)
    moved = student.ask(run_module, rotary, weights, x, None, positions + 17)
    # float32 angles, in scores that an exponential follows
    moved.equals(student.ask(run_module, rotary, weights, x, None, positions), rtol=1e-3, atol=1e-3)


@task("MultiHeadAttention")
def test_gradients_reach_input_and_all_projections(student, reference, seed):
    """Gradients reach the input and all four projections with their biases, and are right."""
    draw = numbers(seed)
    x, cotangent, weights = draw(B, T, D), draw(B, T, D), weights_for(seed, bias=True)
    arguments = (config(bias=True), weights, x, cotangent, some_mask(seed, T, T))
    student.ask(gradients_of_module, *arguments).equals(reference.ask(gradients_of_module, *arguments), **GRADIENT)


@task("MultiHeadAttention")
def test_gradients_pass_through_the_rotations(student, reference, seed):
    """With rotary positions, gradients are right too."""
    draw = numbers(seed)
    x, cotangent, weights = draw(B, T, D), draw(B, T, D), weights_for(seed)
    arguments = (config(rope_base=100.0), weights, x, cotangent, some_mask(seed, T, T))
    student.ask(gradients_of_module, *arguments).equals(
        reference.ask(gradients_of_module, *arguments), **TURNED_GRADIENT
    )


@task("MultiHeadAttention")
@needs("test_heads_are_neighbouring_blocks_of_features")
def test_texts_do_not_read_each_other(student, seed):
    """What a text answers does not depend on the other texts of its batch."""
    draw = numbers(seed)
    x, other, weights = draw(B, T, D), draw(B, T, D), weights_for(seed)
    changed = torch.stack([x[0], other[1]])
    student_answer = student.ask(run_module, config(), weights, changed).value
    before = student.ask(run_module, config(), weights, x).value
    assert torch.allclose(student_answer[0], before[0], **FLOAT64), "Changing one text changed the other's answer."


@task("MultiHeadAttention")
def test_the_module_keeps_float32(student, reference, seed):
    """A float32 module gives float32 answers."""
    x, weights = numbers(seed, torch.float32)(B, T, D), weights_for(seed, dtype=torch.float32)
    # two projections and a softmax, one after the other
    student.ask(run_module, config(), weights, x).equals(
        reference.ask(run_module, config(), weights, x), rtol=1e-4, atol=1e-5
    )


@task("MultiHeadAttention")
@needs("test_one_head_is_attention_between_projections")
def test_heads_that_do_not_divide_the_width_are_refused(student, seed):
    """A width that the heads cannot share evenly is refused."""
    heads = 3 + seed % 3
    student.ask(build_module, config(4 * heads + 1, heads)).refused()


@task("MultiHeadAttention")
@needs("test_one_mask_holds_for_every_text")
def test_masks_of_another_size_are_refused(student, seed):
    """A mask for another number of tokens is refused."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    student.ask(run_module, config(), weights, x, torch.ones(T + 1, T + 1, dtype=torch.bool)).refused()


# ------------------------------------------------------------------------------------------------- attention_with_cache

LONG = 7
SPLITS = [
    [after - before for before, after in itertools.pairwise((0, *cuts, LONG))]
    for count in range(LONG)
    for cuts in itertools.combinations(range(1, LONG), count)
]
"""All 64 ways to cut seven tokens into chunks."""


@task("attention_with_cache")
def test_the_first_chunk_is_a_causal_forward(student, reference, seed):
    """Without a cache, the answer is the module's own under a causal mask."""
    x, weights = numbers(seed)(B, T, D), weights_for(seed)
    expected = reference.ask(cached_in_chunks, config(), weights, x, [T])
    student.ask(cached_in_chunks, config(), weights, x, [T]).equals(expected, **FLOAT64)


@task("attention_with_cache")
@weight(2)
def test_new_tokens_read_the_cache_and_each_other(student, reference, seed):
    """New tokens read every cached token, themselves and the new ones before them, and the cache grows by them."""
    draw, weights = numbers(seed), weights_for(seed)
    x, cache = draw(B, 3, D), (draw(B, H, 4, D // H), draw(B, H, 4, D // H))
    student.ask(continued_from, config(), weights, x, cache).equals(
        reference.ask(continued_from, config(), weights, x, cache), **FLOAT64
    )


@task("attention_with_cache")
@weight(2)
def test_new_tokens_stand_behind_the_cached_ones(student, reference, seed):
    """With rotary positions, the new tokens continue the text: after four cached ones, the next is at position 4."""
    draw, weights, rotary = numbers(seed), weights_for(seed), config(rope_base=100.0)
    x, cache = draw(B, 3, D), (draw(B, H, 4, D // H), draw(B, H, 4, D // H))
    student.ask(continued_from, rotary, weights, x, cache).equals(
        reference.ask(continued_from, rotary, weights, x, cache), **ANGLES
    )


@task("attention_with_cache")
@weight(2)
def test_every_split_gives_the_whole_text(student, reference, seed):
    """Seven tokens give the same answers in each of the 64 ways to cut them into chunks."""
    x, weights = numbers(seed)(B, LONG, D), weights_for(seed)
    expected = reference.ask(full_forward, config(), weights, x).value.expand(len(SPLITS), B, LONG, D)
    student.ask(every_split, config(), weights, x, SPLITS).equals(expected, **FLOAT64)


@task("attention_with_cache")
@weight(2)
def test_every_split_gives_the_whole_text_with_positions(student, reference, seed):
    """With rotary positions too, each of the 64 ways to cut seven tokens gives the same answers."""
    x, weights, rotary = numbers(seed)(B, LONG, D), weights_for(seed), config(rope_base=100.0)
    expected = reference.ask(full_forward, rotary, weights, x).value.expand(len(SPLITS), B, LONG, D)
    student.ask(every_split, rotary, weights, x, SPLITS).equals(expected, **ANGLES)


@task("attention_with_cache")
def test_one_token_at_a_time(student, reference, seed):
    """A prompt, then one token after another, as in generation, with biases."""
    x, weights, biased = numbers(seed)(B, LONG, D), weights_for(seed, bias=True), config(bias=True, rope_base=100.0)
    expected = reference.ask(full_forward, biased, weights, x).value
    answer = student.ask(cached_in_chunks, biased, weights, x, [3, 1, 1, 1, 1]).value
    # float32 angles
    assert torch.allclose(answer["y"], expected, **ANGLES), "Token by token, the answers drift from the whole text's."


@task("attention_with_cache")
def test_the_cache_holds_rotated_keys_and_plain_values(student, reference, seed):
    """The cache holds all keys so far, each turned by its own position, and all values unturned: (B, H, T, d) each."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=100.0)
    expected = reference.ask(cached_in_chunks, rotary, weights, x, [2, 3])
    student.ask(cached_in_chunks, rotary, weights, x, [2, 3]).equals(expected, **ANGLES)


@task("attention_with_cache")
def test_the_old_cache_is_left_as_it_was(student, reference, seed):
    """The cache that is handed in keeps its length and its numbers, so it can be continued twice."""
    draw, weights, rotary = numbers(seed), weights_for(seed), config(rope_base=100.0)
    past, new = draw(B, 3, D), draw(B, 2, D)
    answer = student.ask(reused_cache, rotary, weights, past, new)
    answer.equals(reference.ask(reused_cache, rotary, weights, past, new), **ANGLES)


@task("attention_with_cache")
@needs("test_new_tokens_read_the_cache_and_each_other")
def test_no_new_tokens_change_nothing(student, reference, seed):
    """A chunk of no tokens gives an empty answer and a cache like the old one, also at the very start."""
    draw, weights = numbers(seed), weights_for(seed)
    nothing, cache = draw(B, 0, D), (draw(B, H, 4, D // H), draw(B, H, 4, D // H))
    empty = torch.zeros(B, 0, D, dtype=torch.float64)
    student.ask(continued_from, config(), weights, nothing, cache).equals({"y": empty, "k": cache[0], "v": cache[1]})
    start = torch.zeros(B, H, 0, D // H, dtype=torch.float64)
    student.ask(continued_from, config(), weights, nothing, None).equals({"y": empty, "k": start, "v": start})


@task("attention_with_cache")
@needs("test_new_tokens_stand_behind_the_cached_ones")
def test_an_empty_cache_is_no_cache(student, seed):
    """A cache of length 0 is the same as none."""
    x, weights, rotary = numbers(seed)(B, T, D), weights_for(seed), config(rope_base=100.0)
    start = torch.zeros(B, H, 0, D // H, dtype=torch.float64)
    student.ask(continued_from, rotary, weights, x, (start, start)).equals(
        student.ask(continued_from, rotary, weights, x, None), **FLOAT64
    )


@task("attention_with_cache")
@needs("test_new_tokens_read_the_cache_and_each_other")
def test_cached_texts_do_not_read_each_other(student, seed):
    """What a text answers from its cache does not depend on the other texts of the batch."""
    draw, weights = numbers(seed), weights_for(seed)
    x, other = draw(B, T, D), draw(B, T, D)
    changed = torch.stack([x[0], other[1]])
    before = student.ask(cached_in_chunks, config(), weights, x, [2, 3]).value
    after = student.ask(cached_in_chunks, config(), weights, changed, [2, 3]).value
    for name in ("y", "k", "v"):
        assert torch.allclose(before[name][0], after[name][0], **FLOAT64), "Changing one text changed another's answer."


@task("attention_with_cache")
@needs("test_new_tokens_read_the_cache_and_each_other")
def test_a_cache_of_other_texts_is_refused(student, seed):
    """A cache for another number of texts is refused."""
    draw, weights = numbers(seed), weights_for(seed)
    cache = (draw(B + 1, H, 4, D // H), draw(B + 1, H, 4, D // H))
    student.ask(continued_from, config(), weights, draw(B, 3, D), cache).refused()
