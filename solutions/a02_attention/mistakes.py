"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import math

import torch
from reference import MultiHeadAttention, attention, causal_mask, rope

from autograder.testing import mistake

# ---------------------------------------------------------------------------------------------------------- causal_mask


def _refuse_negative(T_q, T_k):
    if T_q < 0 or T_k < 0:
        raise ValueError("sizes cannot be negative")


@mistake(
    "causal_mask",
    seen="With a cache the last query is the newest token: which key is its own?",
    named="This equals the mask that puts query 0 on key 0 (upper left), as torch's is_causal=True does.",
    caught_by="test_the_last_query_stands_on_the_last_key",
)
def upper_left(T_q, T_k):
    _refuse_negative(T_q, T_k)
    return torch.ones(T_q, T_k, dtype=torch.bool).tril()


@mistake(
    "causal_mask",
    seen="Queries that stand before the first key see something: where would the last query stand, counted from them?",
    named="This equals the right mask, except that the first query never stands before key 0.",
    caught_by="test_queries_before_the_first_key_see_nothing",
)
def never_before_the_first_key(T_q, T_k):
    _refuse_negative(T_q, T_k)
    return torch.ones(T_q, T_k, dtype=torch.bool).tril(max(T_k - T_q, 0))


@mistake(
    "causal_mask",
    seen="A token should see itself.",
    named="This equals the mask with a strict inequality: the diagonal is hidden.",
    caught_by=("test_each_token_sees_itself_and_its_past", "test_the_last_query_stands_on_the_last_key"),
)
def diagonal_hidden(T_q, T_k):
    _refuse_negative(T_q, T_k)
    return torch.ones(T_q, T_k, dtype=torch.bool).tril(T_k - T_q - 1)


@mistake(
    "causal_mask",
    seen="Row i can read the token it is about to predict.",
    named="This equals the mask whose diagonal is one step too far to the right: one key of the future is visible.",
    caught_by=("test_each_token_sees_itself_and_its_past", "test_queries_before_the_first_key_see_nothing"),
)
def one_too_many(T_q, T_k):
    _refuse_negative(T_q, T_k)
    return torch.ones(T_q, T_k, dtype=torch.bool).tril(T_k - T_q + 1)


@mistake(
    "causal_mask",
    seen="Here True means 'may look'.",
    named="This equals the right mask turned over: True where a key is hidden, as nn.MultiheadAttention has it.",
    caught_by=("test_each_token_sees_itself_and_its_past", "test_the_last_query_stands_on_the_last_key"),
)
def inverted(T_q, T_k):
    return ~causal_mask(T_q, T_k)


@mistake(
    "causal_mask",
    seen="Each token sees itself, and what comes after it.",
    named="This equals the upper triangle with its diagonal, where the lower one is meant.",
    caught_by=("test_each_token_sees_itself_and_its_past", "test_the_last_query_stands_on_the_last_key"),
)
def looks_ahead(T_q, T_k):
    _refuse_negative(T_q, T_k)
    return torch.ones(T_q, T_k, dtype=torch.bool).triu(T_k - T_q)


@mistake(
    "causal_mask",
    seen="The pattern is right, but it is made of numbers: what type answers 'may I look?'",
    named="This equals the right mask written as zeros and ones in float32.",
    caught_by=("test_each_token_sees_itself_and_its_past", "test_the_last_query_stands_on_the_last_key"),
)
def not_bool(T_q, T_k):
    return causal_mask(T_q, T_k).float()


# ------------------------------------------------------------------------------------------------------------ attention


def _refuse_bad(q, k, v, mask):
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError("sizes disagree")
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError("the mask is bool")


def _scores(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _weights(scores, mask, dim=-1):
    """The softmax under a mask, with zeros where nothing may be seen."""
    if mask is None:
        return scores.softmax(dim)
    mask = mask.expand(scores.shape)
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim).masked_fill(~mask, 0.0)


@mistake(
    "attention",
    seen="The spread of your scores changes with the head size: which size, and to what power?",
    named="This equals attention without the division by the root of d.",
    caught_by=("test_scores_are_divided_by_the_root_of_the_head_size", "test_leading_axes_are_carried_along"),
)
def no_scale(q, k, v, mask=None):
    return attention(q * math.sqrt(q.shape[-1]), k, v, mask)


@mistake(
    "attention",
    seen="The spread of your scores changes with the head size: which size, and to what power?",
    named="This equals attention with scores divided by d itself, not by its root.",
    caught_by=("test_scores_are_divided_by_the_root_of_the_head_size", "test_leading_axes_are_carried_along"),
)
def scale_by_d(q, k, v, mask=None):
    return attention(q / math.sqrt(q.shape[-1]), k, v, mask)


@mistake(
    "attention",
    seen="The spread of your scores changes with the head size: which size, and to what power?",
    named="This equals attention with scores divided by the root of d_v, the size of a value.",
    caught_by=("test_scores_are_divided_by_the_root_of_the_head_size", "test_leading_axes_are_carried_along"),
)
def scale_by_width(q, k, v, mask=None):
    return attention(q * math.sqrt(q.shape[-1] / v.shape[-1]), k, v, mask)


@mistake(
    "attention",
    seen="The spread of your scores changes with the number of keys: is that the size you mean to divide by?",
    named="This equals attention with scores divided by the root of the number of keys.",
    caught_by=("test_scores_are_divided_by_the_root_of_the_head_size", "test_leading_axes_are_carried_along"),
)
def scale_by_keys(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    return attention(q * math.sqrt(q.shape[-1] / max(k.shape[-2], 1)), k, v, mask)


@mistake(
    "attention",
    seen="The weights of a masked row no longer sum to one.",
    named="This equals attention in which hidden weights are set to zero after the softmax, and not shared out again.",
    caught_by=("test_visible_keys_share_all_of_the_weight", "test_answers_are_averages_of_visible_values"),
)
def mask_after_softmax(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    weights = _scores(q, k).softmax(-1)
    return (weights if mask is None else weights * mask) @ v


@mistake(
    "attention",
    seen="A hidden key still has a say: what weight does the softmax give to a score of zero?",
    named="This equals attention in which hidden scores are set to 0 before the softmax.",
    caught_by=("test_visible_keys_share_all_of_the_weight", "test_masks_broadcast_over_batch_and_heads"),
)
def hidden_scores_zero(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    if mask is None:
        return attention(q, k, v)
    weights = (_scores(q, k) * mask).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0.0) @ v


@mistake(
    "attention",
    seen="Your answer does not change when a key is hidden.",
    named="This equals attention without the mask.",
    caught_by=("test_visible_keys_share_all_of_the_weight", "test_masks_broadcast_over_batch_and_heads"),
)
def mask_ignored(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    return attention(q, k, v)


@mistake(
    "attention",
    seen="A score of zero is an ordinary score.",
    named="This equals attention in which every score that is exactly 0 is taken for a hidden one.",
    caught_by="test_a_score_of_exactly_zero_counts",
)
def zero_score_is_masked(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    if mask is None:
        return attention(q, k, v)
    scores = _scores(q, k) * mask
    return _weights(scores, scores != 0) @ v


@mistake(
    "attention",
    seen="A query that may look nowhere turned into NaN, and NaN spreads.",
    named="This equals attention that fills hidden scores with minus infinity and leaves a row of them to the softmax.",
    caught_by=(
        "test_a_query_that_may_look_nowhere_answers_zero",
        "test_a_query_that_may_look_nowhere_passes_back_zeros",
    ),
)
def masked_row_nan(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ v


@mistake(
    "attention",
    seen="The answer is finite, but its gradient is not: NaN was hidden on the way forward, and comes back.",
    named="This equals attention that adds minus infinity to hidden scores and replaces NaN after the softmax.",
    caught_by="test_a_query_that_may_look_nowhere_passes_back_zeros",
)
def masked_row_nan_gradient(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = _scores(q, k)
    if mask is not None:
        scores = scores + mask.to(scores.dtype).log()
    return scores.softmax(-1).nan_to_num(0.0) @ v


@mistake(
    "attention",
    seen="A query that may look nowhere read everything.",
    named="This equals attention that fills hidden scores with -1e9 and nothing more: such a row averages all values.",
    caught_by=(
        "test_a_query_that_may_look_nowhere_answers_zero",
        "test_a_query_that_may_look_nowhere_passes_back_zeros",
    ),
)
def masked_row_uniform(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return scores.softmax(-1) @ v


@mistake(
    "attention",
    seen="Where visible scores are very low, hidden keys come back: how low is low enough for a hidden one?",
    named="This equals attention that fills hidden scores with -1e4, a number that real scores can reach.",
    caught_by="test_a_hidden_key_stays_hidden_however_low_the_visible_scores",
)
def fill_not_low_enough(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    if mask is None:
        return attention(q, k, v)
    weights = _scores(q, k).masked_fill(~mask, -1e4).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0.0) @ v


@mistake(
    "attention",
    seen="Large scores became infinite on the way: what can you subtract from a row without changing its softmax?",
    named="This equals attention whose softmax takes the exponential of raw scores.",
    caught_by="test_scores_of_ten_thousand_do_no_harm",
)
def exp_overflow(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    weights = _scores(q, k).exp()
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    total = weights.sum(-1, keepdim=True)
    return (weights / total.masked_fill(total == 0, 1.0)) @ v


@mistake(
    "attention",
    seen="Each query spreads one unit of attention over the keys; yours spreads it over something else.",
    named="This equals attention with the softmax over the queries (the last axis but one).",
    caught_by=(
        "test_equal_keys_average_the_values",
        "test_each_query_spreads_its_weight_over_the_keys",
        "test_leading_axes_are_carried_along",
    ),
)
def softmax_over_queries(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    return _weights(_scores(q, k), mask, dim=-2) @ v


@mistake(
    "attention",
    seen="Without a batch you are right, with one you are not: which axis holds the keys, counted from the end?",
    named="This equals attention with the softmax over axis 1, which is the keys' axis only where nothing leads.",
    caught_by="test_leading_axes_are_carried_along",
)
def softmax_over_axis_one(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    return _weights(_scores(q, k), mask, dim=1) @ v


@mistake(
    "attention",
    seen="Your queries look only where they may not.",
    named="This equals attention with the mask turned over.",
    caught_by=("test_visible_keys_share_all_of_the_weight", "test_masks_broadcast_over_batch_and_heads"),
)
def mask_inverted(q, k, v, mask=None):
    return attention(q, k, v, None if mask is None else ~mask)


@mistake(
    "attention",
    seen="The caller's queries are not what they were before the call.",
    named="This equals attention that scales q in place (q /= ...).",
    caught_by="test_inputs_are_left_as_they_were",
)
def scales_queries_in_place(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    answer = attention(q, k, v, mask)
    if not q.requires_grad:
        q /= math.sqrt(q.shape[-1])
    return answer


# ----------------------------------------------------------------------------------------------------------------- rope


def _angles(x, positions, base=10000.0, dtype=None):
    """The right angles, (T, d/2) or (B, 1, T, d/2), with what every version checks."""
    T, d = x.shape[-2:]
    if d % 2 or positions.shape not in ((T,), (x.shape[0], T)):
        raise ValueError("bad shapes")
    dtype = dtype or torch.promote_types(x.dtype, torch.float32)
    if positions.dim() == 2:
        positions = positions[:, None]
    return positions[..., None].to(dtype) * (base ** (-2 * torch.arange(d // 2) / d)).to(dtype)


def _halves(x):
    return x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]


def _turned(x, angle):
    first, second = _halves(x)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


@mistake(
    "rope",
    seen="Norms are right, partners are not: who is feature 0 paired with in the stated layout?",
    named="This equals the rotation of the pairs (2i, 2i+1), the interleaved layout of GPT-J and Meta's own Llama.",
    caught_by=("test_each_pair_turns_at_its_own_speed", "test_tokens_turn_by_the_positions_given"),
)
def interleaved_pairs(x, positions, base=10000.0):
    angle = _angles(x, positions, base)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


@mistake(
    "rope",
    seen="You rotated by place in the tensor, not by the positions given.",
    named="This equals the rotation at positions 0, 1, 2, ..., whatever positions say.",
    caught_by=("test_tokens_turn_by_the_positions_given", "test_each_text_may_have_its_own_positions"),
)
def positions_ignored(x, positions, base=10000.0):
    _angles(x, positions, base)
    return _turned(x, _angles(x, torch.arange(x.shape[-2]), base))


@mistake(
    "rope",
    seen="Your frequencies fall at half the speed.",
    named="This equals the rotation with frequencies base^(-i/d), where -2i/d is meant.",
    caught_by=("test_each_pair_turns_at_its_own_speed", "test_the_base_sets_the_speeds"),
)
def wrong_exponent(x, positions, base=10000.0):
    return _turned(x, _angles(x, positions, base**0.5))


@mistake(
    "rope",
    seen="Relative distances come out mirrored.",
    named="This equals the rotation by minus the angle.",
    caught_by=(
        "test_a_single_pair_turns_from_the_first_feature_to_the_second",
        "test_tokens_turn_by_the_positions_given",
    ),
)
def rotates_backwards(x, positions, base=10000.0):
    return _turned(x, -_angles(x, positions, base))


@mistake(
    "rope",
    seen="Lengths change under your rotation: which of the four terms carries a minus?",
    named="This equals the right formula with a plus in place of its one minus.",
    caught_by=("test_tokens_turn_by_the_positions_given", "test_lengths_are_kept"),
)
def minus_lost(x, positions, base=10000.0):
    angle = _angles(x, positions, base)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = _halves(x)
    return torch.cat([first * cos + second * sin, first * sin + second * cos], dim=-1)


@mistake(
    "rope",
    seen="The two features of a pair turn by different angles, so lengths change: do angles and pairs use one layout?",
    named="This equals half-split pairs turned by angles that are laid out for neighbouring pairs.",
    caught_by=("test_each_pair_turns_at_its_own_speed", "test_tokens_turn_by_the_positions_given"),
)
def layouts_mixed(x, positions, base=10000.0):
    angle = _angles(x, positions, base).repeat_interleave(2, dim=-1)
    first, second = _halves(x)
    return x * angle.cos().to(x.dtype) + torch.cat([-second, first], dim=-1) * angle.sin().to(x.dtype)


@mistake(
    "rope",
    seen="Another base gives the same answer.",
    named="This equals the rotation with base 10000, whatever base says.",
    caught_by="test_the_base_sets_the_speeds",
)
def base_ignored(x, positions, base=10000.0):
    return _turned(x, _angles(x, positions))


@mistake(
    "rope",
    seen="All texts of the batch turn alike: whose positions are these?",
    named="This equals the rotation in which every text uses the positions of the first one.",
    caught_by="test_each_text_may_have_its_own_positions",
)
def first_texts_positions(x, positions, base=10000.0):
    angle = _angles(x, positions, base)
    return _turned(x, angle[:1] if positions.dim() == 2 else angle)


@mistake(
    "rope",
    seen="Far from the start your angles are blurred: in which precision do you multiply positions and frequencies?",
    named="This equals the rotation with angles computed in the dtype of x.",
    caught_by="test_half_precision_does_not_blur_far_positions",
)
def angles_in_input_dtype(x, positions, base=10000.0):
    return _turned(x, _angles(x, positions, base, dtype=x.dtype))


# --------------------------------------------------------------------------------------------------- MultiHeadAttention


class _Heads(MultiHeadAttention):
    """The reference's forward in pieces, so that each mistake replaces one of them."""

    def split(self, x):  # (B, T, D) -> (B, H, T, d)
        B, T, D = x.shape
        return x.view(B, T, self.n_heads, D // self.n_heads).transpose(1, 2)

    def merge(self, y):  # (B, H, T, d) -> (B, T, D)
        return y.transpose(1, 2).flatten(2)

    def turn(self, q, k, v, positions):
        return rope(q, positions, self.rope_base), rope(k, positions, self.rope_base), v

    def attend(self, q, k, v, mask):
        return attention(q, k, v, mask[:, None] if mask is not None and mask.dim() == 3 else mask)

    def output(self, y):
        return self.o_proj(y)

    def forward(self, x, mask=None, positions=None):
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))
        if self.rope_base is not None:
            q, k, v = self.turn(q, k, v, torch.arange(x.shape[1]) if positions is None else positions)
        return self.output(self.merge(self.attend(q, k, v, mask)))


@mistake(
    "MultiHeadAttention",
    seen="Your heads mix tokens: follow one number from (B, T, D) to its head.",
    named="This equals heads made by viewing (B, T, D) as (B, H, T, d) directly, and back.",
    caught_by=("test_heads_are_neighbouring_blocks_of_features", "test_one_mask_holds_for_every_text"),
)
class view_without_transpose(_Heads):
    def split(self, x):
        B, T, D = x.shape
        return x.reshape(B, self.n_heads, T, D // self.n_heads)

    def merge(self, y):
        B, H, T, d = y.shape
        return y.reshape(B, T, H * d)


@mistake(
    "MultiHeadAttention",
    seen="Each head is right, but they are glued together in the wrong order: does the way out undo the way in?",
    named="This equals heads merged by viewing (B, H, T, d) as (B, T, D) without the transpose back.",
    caught_by=("test_heads_are_neighbouring_blocks_of_features", "test_one_mask_holds_for_every_text"),
)
class merge_without_transpose(_Heads):
    def merge(self, y):
        B, H, T, d = y.shape
        return y.reshape(B, T, H * d)


@mistake(
    "MultiHeadAttention",
    seen="Heads are neighbouring blocks of features here.",
    named="This equals heads in which head h takes every H-th feature, beginning with feature h.",
    caught_by=("test_heads_are_neighbouring_blocks_of_features", "test_one_mask_holds_for_every_text"),
)
class heads_interleaved(_Heads):
    def split(self, x):
        B, T, D = x.shape
        return x.view(B, T, D // self.n_heads, self.n_heads).permute(0, 3, 1, 2)

    def merge(self, y):
        return y.permute(0, 2, 3, 1).flatten(2)


@mistake(
    "MultiHeadAttention",
    seen="A head only sees its own share of the width.",
    named="This equals heads whose scores are divided by the root of D, where the head's own d is meant.",
    caught_by=("test_heads_are_neighbouring_blocks_of_features", "test_one_mask_holds_for_every_text"),
)
class scale_by_model_width(_Heads):
    def attend(self, q, k, v, mask):
        return super().attend(q / math.sqrt(self.n_heads), k, v, mask)


@mistake(
    "MultiHeadAttention",
    seen="Heads were glued together but never allowed to talk.",
    named="This equals multi-head attention without o_proj at the end.",
    caught_by=(
        "test_one_head_is_attention_between_projections",
        "test_heads_are_neighbouring_blocks_of_features",
    ),
)
class no_output_projection(_Heads):
    def output(self, y):
        return y


@mistake(
    "MultiHeadAttention",
    seen="The whole width attended as one: where did the heads go?",
    named="This equals attention with a single head of size D.",
    caught_by=("test_heads_are_neighbouring_blocks_of_features", "test_one_mask_holds_for_every_text"),
)
class heads_never_split(_Heads):
    def split(self, x):
        return x[:, None]

    def merge(self, y):
        return y[:, 0]


@mistake(
    "MultiHeadAttention",
    seen="Your batch mask was applied head by head.",
    named="This equals attention in which a mask (B, T, T) is lined up with the heads.",
    caught_by="test_each_text_may_have_its_own_mask",
)
class mask_over_heads(_Heads):
    def attend(self, q, k, v, mask):
        return attention(q, k, v, mask)


@mistake(
    "MultiHeadAttention",
    seen="Hiding a key changes nothing: does the mask reach your attention?",
    named="This equals multi-head attention that never uses its mask.",
    caught_by=("test_one_mask_holds_for_every_text", "test_each_text_may_have_its_own_mask"),
)
class mask_not_passed_on(_Heads):
    def attend(self, q, k, v, mask):
        if mask is not None and mask.shape[-2:] != (q.shape[2], k.shape[2]):
            raise ValueError("the mask is for another number of tokens")
        return attention(q, k, v)


@mistake(
    "MultiHeadAttention",
    seen="Positions should decide where to look, not what is read.",
    named="This equals multi-head attention that turns the values as well as queries and keys.",
    caught_by=("test_queries_and_keys_turn_by_their_places", "test_values_are_never_turned"),
)
class rotates_values(_Heads):
    def turn(self, q, k, v, positions):
        return *super().turn(q, k, v, positions)[:2], rope(v, positions, self.rope_base)


@mistake(
    "MultiHeadAttention",
    seen="Moving the whole text along changes your answer: who else has to turn with the queries?",
    named="This equals multi-head attention that turns the queries and leaves the keys.",
    caught_by=("test_queries_and_keys_turn_by_their_places", "test_moving_the_whole_text_changes_nothing"),
)
class rotates_queries_only(_Heads):
    def turn(self, q, k, v, positions):
        return rope(q, positions, self.rope_base), k, v


@mistake(
    "MultiHeadAttention",
    seen="Heads turn at different speeds: is d, or D, the size whose pairs are turned?",
    named="This equals a rotation of the whole width before it is split into heads.",
    caught_by=("test_queries_and_keys_turn_by_their_places", "test_positions_may_be_given"),
)
class rotates_before_splitting(_Heads):
    def turn(self, q, k, v, positions):
        q, k = (self.split(rope(self.merge(t)[:, None], positions, self.rope_base)[:, 0]) for t in (q, k))
        return q, k, v


@mistake(
    "MultiHeadAttention",
    seen="The answer is the same wherever the tokens stand: do the positions reach rope?",
    named="This equals multi-head attention that turns at 0, 1, 2, ..., whatever positions it is given.",
    caught_by="test_positions_may_be_given",
)
class given_positions_ignored(_Heads):
    def turn(self, q, k, v, positions):
        return super().turn(q, k, v, torch.arange(q.shape[2]))


@mistake(
    "MultiHeadAttention",
    seen="Two modules with different bases give the same answer.",
    named="This equals a module that calls rope without its base, so that 10000 is used.",
    caught_by="test_the_modules_base_sets_the_speeds",
)
class base_not_passed_on(_Heads):
    def turn(self, q, k, v, positions):
        return rope(q, positions), rope(k, positions), v


@mistake(
    "MultiHeadAttention",
    seen="A module with bias=True has no biases.",
    named="This equals a module whose projections ignore `bias`.",
    caught_by=("test_parameters_have_the_agreed_names_and_shapes", "test_biases_are_added"),
)
class bias_ignored(_Heads):
    def __init__(self, d_model, n_heads, bias=False, rope_base=None):
        super().__init__(d_model, n_heads, False, rope_base)


# ------------------------------------------------------------------------------------------------- attention_with_cache


def _project(module, x):
    B, T, D = x.shape
    shape = (B, T, module.n_heads, D // module.n_heads)
    return tuple(p(x).view(shape).transpose(1, 2) for p in (module.q_proj, module.k_proj, module.v_proj))


def _turned_from(module, start, *tensors):
    if module.rope_base is None:
        return tensors
    return tuple(rope(t, torch.arange(start, start + t.shape[2]), module.rope_base) for t in tensors)


def _past(cache):
    return 0 if cache is None else cache[0].shape[2]


def _behind(cache, k, v):
    return (k, v) if cache is None else (torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2))


def _finish(module, q, k, v, mask):
    return module.o_proj(attention(q, k, v, mask).transpose(1, 2).flatten(2))


@mistake(
    "attention_with_cache",
    seen="Your new tokens believe the text starts with them.",
    named="This equals attention in which each chunk is turned from position 0.",
    caught_by=(
        "test_new_tokens_stand_behind_the_cached_ones",
        "test_every_split_gives_the_whole_text_with_positions",
        "test_the_cache_holds_rotated_keys_and_plain_values",
    ),
)
def positions_restart(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, 0, q, k)
    k, v = _behind(cache, k, v)
    return _finish(module, q, k, v, causal_mask(q.shape[2], k.shape[2])), (k, v)


@mistake(
    "attention_with_cache",
    seen="A gap opens between cached and new tokens: how many came before the first new one?",
    named="This equals attention in which a chunk after the first begins one position too late.",
    caught_by=(
        "test_new_tokens_stand_behind_the_cached_ones",
        "test_every_split_gives_the_whole_text_with_positions",
        "test_the_cache_holds_rotated_keys_and_plain_values",
    ),
)
def positions_one_ahead(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache) + (_past(cache) > 0), q, k)
    k, v = _behind(cache, k, v)
    return _finish(module, q, k, v, causal_mask(q.shape[2], k.shape[2])), (k, v)


@mistake(
    "attention_with_cache",
    seen="In a chunk after the first, tokens cannot see most of their past.",
    named="This equals attention in which the chunk's mask puts query 0 on key 0.",
    caught_by=("test_new_tokens_read_the_cache_and_each_other", "test_every_split_gives_the_whole_text"),
)
def mask_upper_left(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache), q, k)
    k, v = _behind(cache, k, v)
    return _finish(module, q, k, v, torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()), (k, v)


@mistake(
    "attention_with_cache",
    seen="Inside a chunk, a token reads its successors.",
    named="This equals attention over cached and new keys without any mask.",
    caught_by=(
        "test_the_first_chunk_is_a_causal_forward",
        "test_new_tokens_read_the_cache_and_each_other",
        "test_every_split_gives_the_whole_text",
    ),
)
def no_mask_in_chunk(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache), q, k)
    k, v = _behind(cache, k, v)
    return _finish(module, q, k, v, None), (k, v)


@mistake(
    "attention_with_cache",
    seen="The new tokens read only each other: what is the cache for?",
    named="This equals attention among the new tokens alone, although the cache is carried on.",
    caught_by=("test_new_tokens_read_the_cache_and_each_other", "test_every_split_gives_the_whole_text"),
)
def past_not_read(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache), q, k)
    y = _finish(module, q, k, v, causal_mask(q.shape[2], q.shape[2]))
    return y, _behind(cache, k, v)


@mistake(
    "attention_with_cache",
    seen="A cache you hand out twice must give the same answer twice: does yours still hold the whole past?",
    named="This equals attention that hands on only the new chunk's keys and values.",
    caught_by=("test_new_tokens_read_the_cache_and_each_other", "test_the_cache_holds_rotated_keys_and_plain_values"),
)
def cache_overwritten(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache), q, k)
    keys, values = _behind(cache, k, v)
    return _finish(module, q, keys, values, causal_mask(q.shape[2], keys.shape[2])), (k, v)


@mistake(
    "attention_with_cache",
    seen="A cache you hand out twice must give the same answer twice: what happened to the one you were given?",
    named="This equals attention that lets the given cache grow in place and hands it on.",
    caught_by="test_the_old_cache_is_left_as_it_was",
)
def cache_edited(module, x, cache=None):
    q, k, v = _project(module, x)
    q, k = _turned_from(module, _past(cache), q, k)
    k, v = (t.detach() for t in _behind(cache, k, v))
    if cache is not None:
        cache[0].data, cache[1].data = k, v
    return _finish(module, q, k, v, causal_mask(q.shape[2], k.shape[2])), cache or (k, v)


@mistake(
    "attention_with_cache",
    seen="Your outputs fit, your cache does not: in which state do keys wait in it?",
    named="This equals a cache of unrotated keys, all of which are turned anew at each call.",
    caught_by="test_the_cache_holds_rotated_keys_and_plain_values",
)
def keys_cached_unrotated(module, x, cache=None):
    q, k, v = _project(module, x)
    k, v = _behind(cache, k, v)
    (q,), (turned,) = _turned_from(module, _past(cache), q), _turned_from(module, 0, k)
    return _finish(module, q, turned, v, causal_mask(q.shape[2], k.shape[2])), (k, v)


@mistake(
    "attention_with_cache",
    seen="Old keys drift a little further with every call: how often should a key be turned?",
    named="This equals attention that turns all keys at each call, those of the cache once more.",
    caught_by=(
        "test_new_tokens_stand_behind_the_cached_ones",
        "test_every_split_gives_the_whole_text_with_positions",
        "test_the_cache_holds_rotated_keys_and_plain_values",
    ),
)
def keys_rotated_again(module, x, cache=None):
    q, k, v = _project(module, x)
    k, v = _behind(cache, k, v)
    (q,), (k,) = _turned_from(module, _past(cache), q), _turned_from(module, 0, k)
    return _finish(module, q, k, v, causal_mask(q.shape[2], k.shape[2])), (k, v)


@mistake(
    "attention_with_cache",
    seen="Something waits in your cache that positions should not touch.",
    named="This equals attention that turns the values too, before it caches them.",
    caught_by=("test_new_tokens_stand_behind_the_cached_ones", "test_the_cache_holds_rotated_keys_and_plain_values"),
)
def cached_values_turned(module, x, cache=None):
    q, k, v = _turned_from(module, _past(cache), *_project(module, x))
    k, v = _behind(cache, k, v)
    return _finish(module, q, k, v, causal_mask(q.shape[2], k.shape[2])), (k, v)
