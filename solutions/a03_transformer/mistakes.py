"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import math

import torch
import torch.nn.functional as F
from common.transformer import CausalSelfAttention, rotated
from reference import GPT, Block, LayerNorm, RMSNorm, SwiGLU, count_parameters, next_token_probs, sample
from torch import nn

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------- LayerNorm and RMSNorm


def _refuse_other_sizes(norm, x):
    if x.shape[-1] != norm.weight.shape[0]:
        raise ValueError("the last axis is not d")


def _fine(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


@mistake(
    "LayerNorm",
    seen="With a large eps your answer differs: eps guards the variance, not its root.",
    named="This equals a norm that divides by the standard deviation plus eps.",
    caught_by=("test_a_large_eps_stands_inside_the_root", "test_a_new_norm_works_with_ones_zeros_and_the_usual_eps"),
)
class eps_outside_root(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        centred = fine - fine.mean(-1, keepdim=True)
        y = centred / (centred.square().mean(-1, keepdim=True).sqrt() + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="You estimate a population; a norm describes just these d numbers.",
    named="This equals a norm with the variance divided by d - 1, which is torch.var's default.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_any_leading_axes"),
)
class unbiased_variance(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = (fine - fine.mean(-1, keepdim=True)) / torch.sqrt(fine.var(-1, keepdim=True) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="A token's norm changed when its neighbours did.",
    named="This equals a norm over the axis of tokens, the last but one.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_gradients_of_a_layer_norm"),
)
class wrong_axis(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        centred = fine - fine.mean(-2, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(-2, keepdim=True) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="A token's norm changed when another text of its batch did.",
    named="This equals a norm over the first axis: over the batch, where there is one.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_gradients_of_a_layer_norm"),
)
class over_the_batch(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        centred = fine - fine.mean(0, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(0, keepdim=True) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="A single token is normed rightly, a text is not: over how many numbers do you take the mean?",
    named="This equals a norm with one mean and one variance for the whole input.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_any_leading_axes"),
)
class over_everything(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = (fine - fine.mean()) / torch.sqrt(fine.var(correction=0) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="The mean is gone, but is the spread one?",
    named="This equals a norm that divides by the variance instead of its root.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_any_leading_axes"),
)
class root_forgotten(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = (fine - fine.mean(-1, keepdim=True)) / (fine.var(-1, correction=0, keepdim=True) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="A norm that was given another eps answers as if it had the usual one.",
    named="This equals a norm that always uses eps = 1e-5.",
    caught_by="test_a_large_eps_stands_inside_the_root",
)
class eps_ignored(LayerNorm):
    def __init__(self, d, eps=1e-5):
        super().__init__(d)


@mistake(
    "LayerNorm",
    seen="One of the two parameters has no effect: which one gets no gradient?",
    named="This equals a norm without its bias.",
    caught_by=("test_each_token_is_normed_by_its_own_features", "test_any_leading_axes"),
)
class bias_forgotten(LayerNorm):
    def forward(self, x):
        return (super().forward(x).to(_fine(x).dtype) - self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="Your statistics were summed with three digits of precision.",
    named="This equals a norm whose mean and variance are computed in half precision.",
    caught_by="test_half_precision_is_computed_in_float32",
)
class stats_in_half(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        centred = x - x.mean(-1, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        return y * self.weight + self.bias


@mistake(
    "LayerNorm",
    seen="Half precision went in; what came out?",
    named="This equals a norm that is computed in float32 and left there.",
    caught_by="test_half_precision_is_computed_in_float32",
)
class answers_in_float32(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        centred = fine - fine.mean(-1, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        return y * self.weight + self.bias


@mistake(
    "LayerNorm",
    seen="Far from zero your variance is noise: what is left of two large numbers that are almost equal?",
    named="This equals a norm whose variance is the mean of the squares minus the square of the mean.",
    caught_by="test_far_from_zero",
)
class variance_by_difference(LayerNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        mean = fine.mean(-1, keepdim=True)
        variance = fine.square().mean(-1, keepdim=True) - mean.square()
        return ((fine - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias).to(x.dtype)


@mistake(
    "LayerNorm",
    seen="The caller's numbers are not what they were before the call.",
    named="This equals a norm that takes the mean off in place (x -= ...).",
    caught_by="test_the_input_is_left_as_it_was",
)
class centres_in_place(LayerNorm):
    def forward(self, x):
        y = super().forward(x)
        if not torch.is_grad_enabled():
            x -= x.mean(-1, keepdim=True)
        return y


@mistake(
    "LayerNorm",
    seen="An input with a single feature went into a norm for many, and many came out.",
    named="This equals a norm that lets an input of width 1 broadcast against its weight.",
    caught_by="test_a_last_axis_of_another_size_is_refused",
)
class width_not_checked(LayerNorm):
    def forward(self, x):
        fine = _fine(x)
        centred = fine - fine.mean(-1, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight + self.bias).to(x.dtype)


@mistake(
    "RMSNorm",
    seen="RMSNorm keeps the mean: that is what it saves.",
    named="This equals a LayerNorm without a bias.",
    caught_by=("test_each_token_is_divided_by_its_own_root_mean_square", "test_any_axes_in_front"),
)
class rms_subtracts_mean(RMSNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


@mistake(
    "RMSNorm",
    seen="The mean stays, and what you divide by still knows of it: whose square is averaged?",
    named="This equals the input divided by its standard deviation, its mean kept.",
    caught_by=("test_each_token_is_divided_by_its_own_root_mean_square", "test_any_axes_in_front"),
)
class divides_by_standard_deviation(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = fine / torch.sqrt(fine.var(-1, correction=0, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


@mistake(
    "RMSNorm",
    seen="With a large eps your answer differs: eps guards the mean square, not its root.",
    named="This equals a norm that divides by the root mean square plus eps.",
    caught_by=("test_a_large_eps_stands_inside_that_root", "test_a_new_one_works_with_ones_and_its_own_eps"),
)
class rms_eps_outside_root(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = fine / (fine.square().mean(-1, keepdim=True).sqrt() + self.eps)
        return (y * self.weight).to(x.dtype)


@mistake(
    "RMSNorm",
    seen="A token's norm changed when its neighbours did.",
    named="This equals a root mean square over the axis of tokens, the last but one.",
    caught_by=("test_each_token_is_divided_by_its_own_root_mean_square", "test_gradients_of_an_rms_norm"),
)
class rms_wrong_axis(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = fine / torch.sqrt(fine.square().mean(-2, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


@mistake(
    "RMSNorm",
    seen="Your answers shrink as d grows: is it the mean or the sum of the squares?",
    named="This equals the input divided by its length, the root of the sum of squares.",
    caught_by=("test_each_token_is_divided_by_its_own_root_mean_square", "test_any_axes_in_front"),
)
class divides_by_length(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        y = fine / torch.sqrt(fine.square().sum(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


@mistake(
    "RMSNorm",
    seen="Very small inputs come out too small: which eps does a new RMSNorm have?",
    named="This equals an RMSNorm whose eps is 1e-5 unless told, as LayerNorm's is.",
    caught_by="test_a_new_one_works_with_ones_and_its_own_eps",
)
class eps_of_layer_norm(RMSNorm):
    def __init__(self, d, eps=1e-5):
        super().__init__(d, eps)


@mistake(
    "RMSNorm",
    seen="Your squares were added up in half precision: is the square of 300 a number there?",
    named="This equals a norm whose squares are computed in half precision.",
    caught_by="test_half_precision_squares_in_float32",
)
class rms_stats_in_half(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


@mistake(
    "RMSNorm",
    seen="Half precision went in; what came out?",
    named="This equals a norm that is computed in float32 and left there.",
    caught_by="test_half_precision_squares_in_float32",
)
class rms_answers_in_float32(RMSNorm):
    def forward(self, x):
        _refuse_other_sizes(self, x)
        fine = _fine(x)
        return fine / torch.sqrt(fine.square().mean(-1, keepdim=True) + self.eps) * self.weight


@mistake(
    "RMSNorm",
    seen="The caller's numbers are not what they were before the call.",
    named="This equals a norm that divides in place (x /= ...).",
    caught_by="test_its_input_is_left_as_it_was",
)
class divides_in_place(RMSNorm):
    def forward(self, x):
        y = super().forward(x)
        if not torch.is_grad_enabled():
            x /= torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return y


@mistake(
    "RMSNorm",
    seen="An input with a single feature went into a norm for many, and many came out.",
    named="This equals a norm that lets an input of width 1 broadcast against its weight.",
    caught_by="test_other_sizes_are_refused",
)
class rms_width_not_checked(RMSNorm):
    def forward(self, x):
        fine = _fine(x)
        y = fine / torch.sqrt(fine.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


# --------------------------------------------------------------------------------------------------------------- SwiGLU

VALUES_OF_A_GATE = ("test_a_smooth_gate_decides_what_passes", "test_all_three_biases_are_added")


@mistake(
    "SwiGLU",
    seen="The activation sits on the other branch.",
    named="This equals down(gate(x) * silu(up(x))).",
    caught_by=VALUES_OF_A_GATE,
)
class gate_and_up_swapped(SwiGLU):
    def forward(self, x):
        return self.down_proj(self.gate_proj(x) * F.silu(self.up_proj(x)))


@mistake(
    "SwiGLU",
    seen="Your gate is not the one named: compare its value at 1 and at -5.",
    named="This equals the same module with a sigmoid for its gate: the original GLU.",
    caught_by=VALUES_OF_A_GATE,
)
class sigmoid_for_silu(SwiGLU):
    def forward(self, x):
        return self.down_proj(self.gate_proj(x).sigmoid() * self.up_proj(x))


@mistake(
    "SwiGLU",
    seen="Your gate is not the one named: compare its value at 1 and at -5.",
    named="This equals the same module with a GELU for its gate: GEGLU.",
    caught_by=VALUES_OF_A_GATE,
)
class gelu_for_silu(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.gelu(self.gate_proj(x)) * self.up_proj(x))


@mistake(
    "SwiGLU",
    seen="Your gate is not the one named: compare its value at 1 and at -5.",
    named="This equals the same module with a ReLU for its gate: ReGLU.",
    caught_by=VALUES_OF_A_GATE,
)
class relu_for_silu(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.relu(self.gate_proj(x)) * self.up_proj(x))


@mistake(
    "SwiGLU",
    seen="One of three matrices never reaches the output.",
    named="This equals down(silu(up(x))): an ordinary MLP, without the gate.",
    caught_by=VALUES_OF_A_GATE,
)
class no_gate(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.silu(self.up_proj(x)))


@mistake(
    "SwiGLU",
    seen="One of three matrices never reaches the output.",
    named="This equals down(silu(gate(x))): the gate lets itself through.",
    caught_by=VALUES_OF_A_GATE,
)
class gate_alone(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)))


@mistake(
    "SwiGLU",
    seen="The gate does not switch, it shifts: how are the two branches joined?",
    named="This equals down(silu(gate(x)) + up(x)).",
    caught_by=VALUES_OF_A_GATE,
)
class branches_added(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) + self.up_proj(x))


@mistake(
    "SwiGLU",
    seen="The gate is smooth, but it stands in the wrong place: what is multiplied, and what is activated?",
    named="This equals down(silu(gate(x) * up(x))).",
    caught_by=VALUES_OF_A_GATE,
)
class product_activated(SwiGLU):
    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x) * self.up_proj(x)))


@mistake(
    "SwiGLU",
    seen="A module with bias=True has no biases.",
    named="This equals a module whose projections ignore `bias`.",
    caught_by=("test_matrices_and_biases_have_the_agreed_names", "test_all_three_biases_are_added"),
)
class swiglu_bias_ignored(SwiGLU):
    def __init__(self, d_model, d_ff, bias=False):
        super().__init__(d_model, d_ff, False)


# ---------------------------------------------------------------------------------------------------------------- Block

VALUES_OF_A_BLOCK = ("test_two_branches_add_to_the_stream", "test_any_norm_goes_with_any_mlp")


@mistake(
    "Block",
    seen="With silent branches a block should pass its input through untouched.",
    named="This equals a block with its norms after the sums, as in the first transformer.",
    caught_by=(*VALUES_OF_A_BLOCK, "test_silence_changes_nothing"),
)
class post_norm(Block):
    def forward(self, x):
        x = self.norm1(x + self.dropout(self.attn(x)))
        return self.norm2(x + self.dropout(self.mlp(x)))


@mistake(
    "Block",
    seen="With silent branches a block should pass its input through untouched: what do you add the branch to?",
    named="This equals a block that adds each branch to the normed stream.",
    caught_by=VALUES_OF_A_BLOCK,
)
class normed_stream(Block):
    def forward(self, x):
        x = self.norm1(x)
        x = x + self.dropout(self.attn(x))
        x = self.norm2(x)
        return x + self.dropout(self.mlp(x))


@mistake(
    "Block",
    seen="Two norms, two jobs: one of yours gets no gradient.",
    named="This equals a block that uses norm1 before both branches.",
    caught_by=(*VALUES_OF_A_BLOCK, "test_gradients_reach_every_weight_of_a_block"),
)
class shared_norm(Block):
    def forward(self, x):
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm1(x)))


@mistake(
    "Block",
    seen="Your MLP does not see what attention just wrote.",
    named="This equals a block whose two branches read the same input side by side.",
    caught_by=(*VALUES_OF_A_BLOCK, "test_gradients_reach_every_weight_of_a_block"),
)
class mlp_reads_old_x(Block):
    def forward(self, x):
        return x + self.dropout(self.attn(self.norm1(x))) + self.dropout(self.mlp(self.norm2(x)))


@mistake(
    "Block",
    seen="One of the two norms gets no gradient: who reads the stream as it is?",
    named="This equals a block whose MLP reads the stream without a norm.",
    caught_by=(*VALUES_OF_A_BLOCK, "test_gradients_reach_every_weight_of_a_block"),
)
class mlp_not_normed(Block):
    def forward(self, x):
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.dropout(self.mlp(x))


@mistake(
    "Block",
    seen="What comes in does not come out, even from silent branches: the stream is cut.",
    named="This equals a block that replaces the stream by its MLP's answer, without adding.",
    caught_by=(*VALUES_OF_A_BLOCK, "test_silence_changes_nothing"),
)
class second_sum_forgotten(Block):
    def forward(self, x):
        x = x + self.dropout(self.attn(self.norm1(x)))
        return self.dropout(self.mlp(self.norm2(x)))


@mistake(
    "Block",
    seen="In eval mode two calls disagree.",
    named="This equals a block whose dropout never rests.",
    caught_by="test_eval_mode_drops_nothing",
)
class dropout_in_eval(Block):
    def forward(self, x):
        p = self.dropout.p
        x = x + F.dropout(self.attn(self.norm1(x)), p)
        return x + F.dropout(self.mlp(self.norm2(x)), p)


@mistake(
    "Block",
    seen="Parts of the stream itself go missing in training: what does your dropout stand on?",
    named="This equals a block that drops parts of the sum, where parts of the branch are meant.",
    caught_by="test_training_drops_parts_of_each_branch_and_none_of_the_stream",
)
class dropout_on_the_stream(Block):
    def forward(self, x):
        x = self.dropout(x + self.attn(self.norm1(x)))
        return self.dropout(x + self.mlp(self.norm2(x)))


@mistake(
    "Block",
    seen="In training a block with dropout drops nothing.",
    named="This equals a block that never uses config.dropout.",
    caught_by="test_training_drops_parts_of_each_branch_and_none_of_the_stream",
)
class no_dropout(Block):
    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@mistake(
    "Block",
    seen="In training one of the two branches is always whole.",
    named="This equals a block with dropout on what attention adds, and none on what the MLP adds.",
    caught_by="test_training_drops_parts_of_each_branch_and_none_of_the_stream",
)
class dropout_on_one_branch(Block):
    def forward(self, x):
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.mlp(self.norm2(x))


@mistake(
    "Block",
    seen="The caller's stream is not what it was before the call.",
    named="This equals a block that adds in place (x += ...).",
    caught_by="test_the_stream_is_not_changed_in_place",
)
class residual_in_place(Block):
    def forward(self, x):
        if torch.is_grad_enabled():
            return super().forward(x)
        x += self.dropout(self.attn(self.norm1(x)))
        x += self.dropout(self.mlp(self.norm2(x)))
        return x


@mistake(
    "Block",
    seen="Two configurations that differ in norm_eps give the same answer.",
    named="This equals a block whose norms have their default eps.",
    caught_by="test_any_norm_goes_with_any_mlp",
)
class eps_not_passed_on(Block):
    def __init__(self, config):
        super().__init__(config)
        norm = type(self.norm1)
        self.norm1, self.norm2 = norm(config.d_model), norm(config.d_model)


@mistake(
    "Block",
    seen="Attention goes by its configuration, the MLP by its own: who has biases?",
    named="This equals a block whose MLP has no biases, whatever the configuration says.",
    caught_by=("test_the_children_go_by_the_agreed_names", "test_two_branches_add_to_the_stream"),
)
class bias_not_passed_on(Block):
    def __init__(self, config):
        super().__init__(config)
        self.mlp = type(self.mlp)(config.d_model, config.d_ff)


@mistake(
    "Block",
    seen="A token's answer changes when a later token does.",
    named="This equals a block whose attention sees the whole text.",
    caught_by=("test_two_branches_add_to_the_stream", "test_a_token_reads_its_past_only"),
)
class block_sees_the_future(Block):
    def __init__(self, config):
        super().__init__(config)
        self.attn = _SeesAll(config)


class _SeesAll(CausalSelfAttention):
    """Attention without the causal mask."""

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = (p(x).view(B, T, self.n_heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        if self.rope_base is not None:
            q, k = rotated(q, self.rope_base), rotated(k, self.rope_base)
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, D))


# ------------------------------------------------------------------------------------------------------------------ GPT

VALUES_OF_A_MODEL = ("test_logits_with_given_weights", "test_the_table_learns_from_both_ends")


class _Model(GPT):
    """The reference with its parts as methods, so that a mistake replaces one of them."""

    def refuse(self, tokens):
        if tokens.shape[1] > self.config.context:
            raise ValueError("too many tokens")

    def embed(self, tokens):
        x = self.tok_emb(tokens)
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(tokens.shape[1]))
        return x

    def head(self, x):
        return self.norm(x) @ self.tok_emb.weight.T

    def forward(self, tokens):
        self.refuse(tokens)
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@mistake(
    "GPT",
    seen="Your last block speaks to the head unnormalised.",
    named="This equals the model without its final norm.",
    caught_by=VALUES_OF_A_MODEL,
)
class no_final_norm(_Model):
    def head(self, x):
        return x @ self.tok_emb.weight.T


@mistake(
    "GPT",
    seen="All norms but one go by the configuration: which one has an eps of its own?",
    named="This equals the model whose final norm has its default eps.",
    caught_by=VALUES_OF_A_MODEL,
)
class final_eps_not_passed_on(_Model):
    def __init__(self, config):
        super().__init__(config)
        self.norm = type(self.norm)(config.d_model)


@mistake(
    "GPT",
    seen="The stream is normed before the first block: which norm did you spend there?",
    named="This equals the model with its final norm on the embeddings instead.",
    caught_by=VALUES_OF_A_MODEL,
)
class norm_on_embeddings(_Model):
    def embed(self, tokens):
        return self.norm(super().embed(tokens))

    def head(self, x):
        return x @ self.tok_emb.weight.T


@mistake(
    "GPT",
    seen="Two tables for the same tokens: the count says you own V*D parameters too many.",
    named="This equals the model with a head of its own.",
    caught_by=("test_the_head_is_the_table", "test_the_table_learns_from_both_ends"),
)
class untied_head(_Model):
    def __init__(self, config):
        super().__init__(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def head(self, x):
        return self.lm_head(self.norm(x))


@mistake(
    "GPT",
    seen="The table learns as a head only: what stands between it and the embeddings?",
    named="This equals the model with embeddings that pass no gradient back.",
    caught_by="test_the_table_learns_from_both_ends",
)
class embeddings_detached(_Model):
    def embed(self, tokens):
        x = self.tok_emb(tokens).detach()
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(tokens.shape[1]))
        return x


@mistake(
    "GPT",
    seen="Your embeddings are louder than they should be, by a factor that depends on D.",
    named="This equals the model with embeddings multiplied by the root of D.",
    caught_by=VALUES_OF_A_MODEL,
)
class scaled_embeddings(_Model):
    def embed(self, tokens):
        x = self.tok_emb(tokens) * math.sqrt(self.config.d_model)
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(tokens.shape[1]))
        return x


@mistake(
    "GPT",
    seen="A table of positions gets no gradient: with learned positions, who tells the model where a token stands?",
    named="This equals the model without its learned positions.",
    caught_by=VALUES_OF_A_MODEL,
)
class learned_positions_not_added(_Model):
    def embed(self, tokens):
        return self.tok_emb(tokens)


@mistake(
    "GPT",
    seen="A model of many layers has the parameters of one.",
    named="This equals the model in which all layers are one and the same block ([block] * n).",
    caught_by=("test_logits_with_given_weights", "test_the_head_is_the_table"),
)
class one_block_repeated(_Model):
    def __init__(self, config):
        super().__init__(config)
        self.blocks = nn.ModuleList([self.blocks[0]] * config.n_layers)


@mistake(
    "GPT",
    seen="A fresh model should be almost equally unsure about every token; yours already has opinions.",
    named="This equals the model with torch's own initial weights.",
    caught_by=(
        "test_fresh_matrices_are_drawn_small",
        "test_what_writes_into_the_stream_gets_quieter_with_depth",
        "test_a_fresh_model_is_almost_equally_unsure",
    ),
)
class default_init(_Model):
    def __init__(self, config):
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.reset_parameters()


@mistake(
    "GPT",
    seen="A fresh model is very sure of things it has never seen: how loud are its logits, and which table makes them?",
    named="This equals the model whose table of embeddings is drawn as torch draws it, from N(0, 1).",
    caught_by=("test_fresh_matrices_are_drawn_small", "test_a_fresh_model_is_almost_equally_unsure"),
)
class table_left_as_torch_draws_it(_Model):
    def __init__(self, config):
        super().__init__(config)
        self.tok_emb.reset_parameters()


@mistake(
    "GPT",
    seen="A fresh norm is to change no size: where do its weights begin?",
    named="This equals the model whose norms are drawn from N(0, 0.02) along with the matrices.",
    caught_by="test_fresh_biases_are_zero_and_norms_are_one",
)
class norms_drawn_too(_Model):
    def __init__(self, config):
        super().__init__(config)
        for name, parameter in self.named_parameters():
            if "norm" in name and name.endswith("weight"):
                nn.init.normal_(parameter, std=0.02)


@mistake(
    "GPT",
    seen="With more layers, your residual stream starts out louder.",
    named="This equals the model in which o_proj and down_proj spread by 0.02, like every other matrix.",
    caught_by="test_what_writes_into_the_stream_gets_quieter_with_depth",
)
class no_residual_scaling(_Model):
    def __init__(self, config):
        super().__init__(config)
        for block in self.blocks:
            nn.init.normal_(block.attn.o_proj.weight, std=0.02)
            nn.init.normal_(block.mlp.down_proj.weight, std=0.02)


@mistake(
    "GPT",
    seen="How many branches write into the stream of a model with L layers?",
    named="This equals the model in which o_proj and down_proj spread by 0.02 over the root of L, not of 2L.",
    caught_by="test_what_writes_into_the_stream_gets_quieter_with_depth",
)
class one_writer_a_layer(_Model):
    def __init__(self, config):
        super().__init__(config)
        for block in self.blocks:
            for layer in (block.attn.o_proj, block.mlp.down_proj):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(config.n_layers))


@mistake(
    "GPT",
    seen="Before it has read anything, your fresh model leans to one side: where do biases begin?",
    named="This equals the model with torch's own random biases.",
    caught_by="test_fresh_biases_are_zero_and_norms_are_one",
)
class biases_left_random(_Model):
    def __init__(self, config):
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1)


@mistake(
    "GPT",
    seen="A model was asked about a place it has no position for, and answered anyway.",
    named="This equals the model whose positions begin again at 0 past the context.",
    caught_by="test_longer_texts_than_the_context_are_refused",
)
class positions_past_context(_Model):
    def refuse(self, tokens):
        pass

    def embed(self, tokens):
        x = self.tok_emb(tokens)
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(tokens.shape[1]) % self.config.context)
        return x


@mistake(
    "GPT",
    seen="A text that is too long was answered in part, and nobody was told.",
    named="This equals the model that cuts a long text down to its context.",
    caught_by="test_longer_texts_than_the_context_are_refused",
)
class crops_long_texts(_Model):
    def forward(self, tokens):
        return super().forward(tokens[:, -self.config.context :])


@mistake(
    "GPT",
    seen="A text as long as the context was turned away.",
    named="This equals the model that refuses a text of exactly `context` tokens.",
    caught_by="test_a_full_context_is_read",
)
class full_context_refused(_Model):
    def refuse(self, tokens):
        if tokens.shape[1] >= self.config.context:
            raise ValueError("too many tokens")


@mistake(
    "GPT",
    seen="Changing a token changed predictions made before it.",
    named="This equals the model whose attention sees the whole text.",
    caught_by=("test_logits_with_given_weights", "test_predictions_read_the_past_only"),
)
class not_causal(_Model):
    def __init__(self, config):
        super().__init__(config)
        for block in self.blocks:
            block.attn.forward = _SeesAll.forward.__get__(block.attn)


# ----------------------------------------------------------------------------------------------------- count_parameters

COUNTS = "test_the_formula_counts_what_a_model_has"


@mistake(
    "count_parameters",
    seen="Tied weights are one tensor.",
    named="This equals the count with V*D for the head on top.",
    caught_by=COUNTS,
)
def head_counted_twice(config):
    return count_parameters(config) + config.vocab_size * config.d_model


@mistake(
    "count_parameters",
    seen="You are short by one norm.",
    named="This equals the count without the final norm.",
    caught_by=COUNTS,
)
def final_norm_forgotten(config):
    return count_parameters(config) - (2 if config.norm == "layernorm" else 1) * config.d_model


@mistake(
    "count_parameters",
    seen="You are short by one norm a layer.",
    named="This equals the count with a single norm in each layer.",
    caught_by=COUNTS,
)
def one_norm_a_layer(config):
    return count_parameters(config) - config.n_layers * (2 if config.norm == "layernorm" else 1) * config.d_model


@mistake(
    "count_parameters",
    seen="Rotary angles are not learned.",
    named="This equals the count with a table of positions, whatever the positions are.",
    caught_by=COUNTS,
)
def rope_has_parameters(config):
    return count_parameters(config) + (config.positions == "rope") * config.context * config.d_model


@mistake(
    "count_parameters",
    seen="Some positions are learned: where is their table?",
    named="This equals the count without learned positions.",
    caught_by=COUNTS,
)
def positions_forgotten(config):
    return count_parameters(config) - (config.positions == "learned") * config.context * config.d_model


@mistake(
    "count_parameters",
    seen="A LayerNorm has its bias whatever the configuration says about the others.",
    named="This equals the count with biases of LayerNorms only where `bias` is set.",
    caught_by=COUNTS,
)
def norm_bias_follows_config(config):
    without = (config.norm == "layernorm") and not config.bias
    return count_parameters(config) - without * (2 * config.n_layers + 1) * config.d_model


@mistake(
    "count_parameters",
    seen="One of the two norms has a bias, the other has not.",
    named="This equals the count with 2D for every norm, an RMSNorm too.",
    caught_by=COUNTS,
)
def rms_norm_has_a_bias(config):
    return count_parameters(config) + (config.norm == "rmsnorm") * (2 * config.n_layers + 1) * config.d_model


@mistake(
    "count_parameters",
    seen="A gate is a matrix of its own.",
    named="This equals the count with two matrices in a SwiGLU.",
    caught_by=COUNTS,
)
def gate_forgotten(config):
    gate = config.d_model * config.d_ff + config.bias * config.d_ff
    return count_parameters(config) - (config.mlp == "swiglu") * config.n_layers * gate


@mistake(
    "count_parameters",
    seen="Attention has four matrices: how many of them did you count?",
    named="This equals the count with three matrices in attention.",
    caught_by=COUNTS,
)
def output_matrix_forgotten(config):
    D = config.d_model
    return count_parameters(config) - config.n_layers * (D * D + config.bias * D)


@mistake(
    "count_parameters",
    seen="With biases you count too few: which matrices have one?",
    named="This equals the count without any bias of a projection.",
    caught_by=COUNTS,
)
def biases_forgotten(config):
    D, width = config.d_model, config.d_ff
    biases = 4 * D + (2 * width + D if config.mlp == "swiglu" else width + D)
    return count_parameters(config) - config.bias * config.n_layers * biases


@mistake(
    "count_parameters",
    seen="An MLP nobody has heard of was counted all the same.",
    named="This equals the count that takes every unknown word for the last one it knows.",
    caught_by="test_words_that_no_model_knows_are_refused",
)
def unknown_words_counted(config):
    known = {
        "norm": config.norm if config.norm == "layernorm" else "rmsnorm",
        "mlp": config.mlp if config.mlp == "swiglu" else "gelu",
        "positions": config.positions if config.positions == "learned" else "rope",
    }
    return count_parameters(type(config)(**{**config.__dict__, **known}))


# ----------------------------------------------------------------------------------------------------- next_token_probs


def _refuse_bad(temperature, top_k, top_p):
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError("out of range")


def _top_k(logits, k):
    if k is None or k >= logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], -torch.inf)


def _nucleus(probs, top_p, crossing=True):
    """Which tokens top_p keeps, in token order; without `crossing` the one that crosses the line goes."""
    ranked, order = probs.sort(dim=-1, descending=True)
    totals = ranked.cumsum(-1)
    kept = totals - ranked < top_p if crossing else totals <= top_p
    kept[:, 0] = True
    return torch.zeros_like(kept).scatter(-1, order, kept)


def _rescaled(probs):
    return probs / probs.sum(-1, keepdim=True)


def _greedy(logits):
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)


def _filtered(logits, top_k, top_p, crossing=True):
    probs = _top_k(logits, top_k).softmax(-1)
    if top_p is None or top_p == 1:
        return probs
    return _rescaled(probs * _nucleus(probs, top_p, crossing))


@mistake(
    "next_token_probs",
    seen="The kept tokens do not reach the mass you asked for.",
    named="This equals the distribution in which the token that crosses top_p is cut.",
    caught_by=("test_top_p_keeps_the_token_that_crosses", "test_filters_come_after_temperature"),
)
def drops_crossing_token(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    return _filtered(logits / temperature, top_k, top_p, crossing=False)


@mistake(
    "next_token_probs",
    seen="A hot distribution should let more tokens through the filter.",
    named="This equals the distribution in which filters come first and temperature last.",
    caught_by="test_filters_come_after_temperature",
)
def temperature_last(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    kept = _filtered(logits, top_k, top_p) > 0
    return (logits / temperature).masked_fill(~kept, -torch.inf).softmax(-1)


@mistake(
    "next_token_probs",
    seen="What remains no longer sums to one.",
    named="This equals the distribution whose cut tokens are set to zero after the softmax, without rescaling.",
    caught_by=(
        "test_top_k_keeps_the_k_largest",
        "test_top_p_keeps_the_token_that_crosses",
        "test_rows_sum_to_one_and_cut_tokens_are_zero",
    ),
)
def no_renormalising(logits, temperature=1.0, top_k=None, top_p=None):
    kept = next_token_probs(logits, temperature, top_k, top_p) > 0
    if temperature == 0:
        return _greedy(logits)
    return (logits / temperature).softmax(-1) * kept


@mistake(
    "next_token_probs",
    seen="Count the survivors.",
    named="This equals the distribution in which one token more than top_k stays.",
    caught_by=("test_top_k_keeps_the_k_largest", "test_top_p_looks_at_what_top_k_left"),
)
def k_plus_one(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return next_token_probs(logits, temperature, None if top_k is None else top_k + 1, top_p)


@mistake(
    "next_token_probs",
    seen="Count the survivors.",
    named="This equals the distribution in which only logits above the k-th largest stay.",
    caught_by="test_top_k_keeps_the_k_largest",
)
def k_minus_one(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return next_token_probs(logits, temperature, top_k if top_k in (None, 1) else top_k - 1, top_p)


@mistake(
    "next_token_probs",
    seen="A higher temperature made you surer.",
    named="This equals the distribution whose logits are multiplied by the temperature.",
    caught_by=("test_temperature_divides_the_logits", "test_filters_come_after_temperature"),
)
def multiplies_temperature(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return next_token_probs(logits, 1 / temperature if temperature else 0.0, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="The temperature changes nothing.",
    named="This equals the distribution at temperature 1, whatever the temperature is.",
    caught_by=("test_temperature_divides_the_logits", "test_filters_come_after_temperature"),
)
def temperature_ignored(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return next_token_probs(logits, 1.0 if temperature else 0.0, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="Temperature is applied to something that has already been through the softmax.",
    named="This equals the softmax of probabilities divided by the temperature.",
    caught_by="test_temperature_divides_the_logits",
)
def softmax_twice(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return next_token_probs(logits.softmax(-1), temperature, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="Two tokens are equally likely, and only one of them stays: who chose?",
    named="This equals the distribution in which exactly top_k tokens stay, ties or not.",
    caught_by="test_ties_with_the_kth_stay",
)
def ties_cut(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        chosen = logits.sort(dim=-1, descending=True, stable=True).indices[:, :top_k]
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, chosen, True)
        logits = logits.masked_fill(~kept, -torch.inf)
    return _filtered(logits, None, top_p)


@mistake(
    "next_token_probs",
    seen="With both filters on, too many tokens stay: whose probabilities does top_p add up?",
    named="This equals the distribution in which top_p looks at all tokens, also those that top_k cuts.",
    caught_by="test_top_p_looks_at_what_top_k_left",
)
def top_p_before_top_k(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    logits = logits / temperature
    if top_p is not None and top_p < 1:
        logits = logits.masked_fill(~_nucleus(logits.softmax(-1), top_p), -torch.inf)
    return _top_k(logits, top_k).softmax(-1)


@mistake(
    "next_token_probs",
    seen="The right number of tokens stay, but not the right ones: in whose order is your verdict?",
    named="This equals the distribution in which the verdict on sorted tokens is used on unsorted ones.",
    caught_by="test_top_p_keeps_the_token_that_crosses",
)
def verdict_not_unsorted(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    probs = _top_k(logits / temperature, top_k).softmax(-1)
    if top_p is None or top_p == 1:
        return probs
    ranked = probs.sort(dim=-1, descending=True).values
    return _rescaled(probs * (ranked.cumsum(-1) - ranked < top_p) + 1e-30)


@mistake(
    "next_token_probs",
    seen="The least likely tokens were kept.",
    named="This equals the distribution whose top_p begins with the least likely token.",
    caught_by="test_top_p_keeps_the_token_that_crosses",
)
def nucleus_from_below(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    probs = _top_k(logits / temperature, top_k).softmax(-1)
    if top_p is None or top_p == 1:
        return probs
    ranked, order = probs.sort(dim=-1)
    kept = torch.zeros_like(probs, dtype=torch.bool).scatter(-1, order, ranked.cumsum(-1) - ranked < top_p)
    return _rescaled(probs * kept)


@mistake(
    "next_token_probs",
    seen="Tokens that were cut still have a chance: what does a softmax make of a logit of 0?",
    named="This equals the distribution in which the logits of cut tokens are set to 0.",
    caught_by=("test_top_k_keeps_the_k_largest", "test_rows_sum_to_one_and_cut_tokens_are_zero"),
)
def cut_logits_zero(logits, temperature=1.0, top_k=None, top_p=None):
    kept = next_token_probs(logits, temperature, top_k, top_p) > 0
    if temperature == 0:
        return _greedy(logits)
    return ((logits / temperature) * kept).softmax(-1)


@mistake(
    "next_token_probs",
    seen="Temperature 0 gave NaN: what is a logit divided by nothing?",
    named="This equals the distribution that divides by the temperature even where it is 0.",
    caught_by="test_temperature_zero_is_the_argmax",
)
def divides_by_zero(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    return _filtered(logits / temperature, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="At temperature 0 two equal tokens share: which one is to take everything?",
    named="This equals the distribution that shares evenly among the largest logits at temperature 0.",
    caught_by="test_temperature_zero_takes_the_lowest_index_of_equals",
)
def winners_share(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        _refuse_bad(temperature, top_k, top_p)
        return _rescaled((logits == logits.max(-1, keepdim=True).values).to(logits.dtype))
    return next_token_probs(logits, temperature, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="At temperature 0 two equal tokens compete: which one is to win?",
    named="This equals the distribution in which the last of the largest logits takes everything at temperature 0.",
    caught_by="test_temperature_zero_takes_the_lowest_index_of_equals",
)
def last_winner(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return next_token_probs(logits.flip(-1), temperature, top_k, top_p).flip(-1)
    return next_token_probs(logits, temperature, top_k, top_p)


@mistake(
    "next_token_probs",
    seen="Large logits became infinite on the way: what can you subtract from a row without changing its softmax?",
    named="This equals the distribution made of exponentials of raw logits.",
    caught_by="test_logits_of_a_thousand_do_no_harm",
)
def raw_exponentials(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    weights = _top_k(logits / temperature, top_k).exp()
    probs = _rescaled(weights)
    return probs if top_p is None or top_p == 1 else _rescaled(probs * _nucleus(probs, top_p))


@mistake(
    "next_token_probs",
    seen="The caller's logits are not what they were before the call.",
    named="This equals the distribution whose temperature and cuts are written into the given logits.",
    caught_by=("test_temperature_divides_the_logits", "test_top_k_keeps_the_k_largest"),
)
def logits_in_place(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    if temperature == 0:
        return _greedy(logits)
    logits /= temperature
    if top_k is not None and top_k < logits.shape[-1]:
        logits[logits < logits.topk(top_k).values[:, -1:]] = -torch.inf
    return _filtered(logits, None, top_p)


# --------------------------------------------------------------------------------------------------------------- sample


class _Writer:
    """The reference's loop with its steps as methods, so that a mistake replaces one of them."""

    def __new__(cls, model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None):
        self = super().__new__(cls)
        self.knobs, self.generator, self.eos = (temperature, top_k, top_p), generator, eos
        self.context = getattr(getattr(model, "config", None), "context", None) if context is None else context
        return self.write(model, idx, n)

    def write(self, model, idx, n):
        was_training = self.enter(model)
        text, ended = idx.clone(), self.ended_at_first(idx)
        with torch.no_grad():
            for _ in range(n):
                probs = next_token_probs(self.read(model(self.seen(text))), *self.knobs)
                token = self.draw(probs)
                if self.eos is not None:
                    token, ended = self.settle(token, ended)
                text = self.append(text, token)
        self.leave(model, was_training)
        return text

    def enter(self, model):
        was_training = getattr(model, "training", False)
        if was_training:
            model.eval()
        return was_training

    def leave(self, model, was_training):
        if was_training:
            model.train()

    def ended_at_first(self, idx):
        return torch.zeros(len(idx), dtype=torch.bool)

    def seen(self, text):
        return text if self.context is None else text[:, -self.context :]

    def read(self, logits):
        return logits[:, -1]

    def draw(self, probs):
        return torch.multinomial(probs, 1, generator=self.generator)

    def settle(self, token, ended):
        token[ended] = self.eos
        return token, ended | (token[:, 0] == self.eos)

    def append(self, text, token):
        return torch.cat([text, token], dim=1)


@mistake(
    "sample",
    seen="A row that had said its last word kept talking.",
    named="This equals a loop that does not look for eos at all.",
    caught_by="test_each_row_ends_for_itself",
)
class finished_rows_go_on(_Writer):
    def settle(self, token, ended):
        return token, ended


@mistake(
    "sample",
    seen="One row's end silenced the others.",
    named="This equals a loop in which the first eos of any row ends the whole batch.",
    caught_by="test_each_row_ends_for_itself",
)
class all_stop_together(_Writer):
    def settle(self, token, ended):
        token, ended = super().settle(token, ended)
        return token, ended | ended.any()


@mistake(
    "sample",
    seen="A row that has not yet begun was taken for finished: where may an eos stand without ending anything?",
    named="This equals a loop in which an eos anywhere in the prompt ends the row before it starts.",
    caught_by="test_an_eos_in_the_prompt_ends_nothing",
)
class eos_in_prompt_ends(_Writer):
    def ended_at_first(self, idx):
        return torch.zeros(len(idx), dtype=torch.bool) if self.eos is None else (idx == self.eos).any(dim=1)


@mistake(
    "sample",
    seen="A prompt that ends in eos was taken for a finished text.",
    named="This equals a loop in which an eos as the prompt's last token ends the row before it starts.",
    caught_by="test_an_eos_in_the_prompt_ends_nothing",
)
class eos_last_in_prompt_ends(_Writer):
    def ended_at_first(self, idx):
        return torch.zeros(len(idx), dtype=torch.bool) if self.eos is None else idx[:, -1] == self.eos


@mistake(
    "sample",
    seen="A finished row is filled up, but with what?",
    named="This equals a loop that fills finished rows with token 0.",
    caught_by="test_each_row_ends_for_itself",
)
class filled_with_zero(_Writer):
    def settle(self, token, ended):
        ended = ended.clone()
        fresh = token[:, 0] == self.eos
        token[ended] = 0
        return token, ended | fresh


@mistake(
    "sample",
    seen="Once every row had ended, your text became too short: how many columns were asked for?",
    named="This equals a loop that stops when all rows have ended, and answers with what there is by then.",
    caught_by="test_a_text_that_ends_early_is_filled_up",
)
class short_when_all_have_ended(_Writer):
    def settle(self, token, ended):
        token, ended = super().settle(token, ended)
        self.all_ended, self.over = ended.all(), getattr(self, "all_ended", False)
        return token, ended

    def append(self, text, token):
        return text if getattr(self, "over", False) else super().append(text, token)


@mistake(
    "sample",
    seen="One token of the vocabulary cannot end a text: which number counts as false?",
    named="This equals a loop that asks `if eos`, and so takes an eos of 0 for none.",
    caught_by="test_token_zero_can_be_the_end",
)
def eos_zero_is_none(model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None):
    return sample(model, idx, n, temperature, top_k, top_p, generator, eos or None, context)


@mistake(
    "sample",
    seen="You continue from the wrong place in the text.",
    named="This equals a loop that reads the logits of the first place.",
    caught_by=("test_each_token_follows_from_all_before_it", "test_plain_functions_are_models_too"),
)
class reads_first_position(_Writer):
    def read(self, logits):
        return logits[:, 0]


@mistake(
    "sample",
    seen="You continue from the wrong place in the text: which row of logits speaks of the next token?",
    named="This equals a loop that reads the logits of the last place but one.",
    caught_by=("test_each_token_follows_from_all_before_it", "test_plain_functions_are_models_too"),
)
class reads_one_too_early(_Writer):
    def read(self, logits):
        return logits[:, max(logits.shape[1] - 2, 0)]


@mistake(
    "sample",
    seen="You showed the model more than it can hold.",
    named="This equals a loop that shows the model the whole text, however long.",
    caught_by=("test_the_model_is_shown_its_context", "test_a_prompt_longer_than_the_context_is_kept_whole"),
)
class context_overrun(_Writer):
    def seen(self, text):
        return text


@mistake(
    "sample",
    seen="The model never sees the newest tokens: which end of the text do you cut?",
    named="This equals a loop that shows the model the first `context` tokens.",
    caught_by=("test_the_model_is_shown_its_context", "test_a_prompt_longer_than_the_context_is_kept_whole"),
)
class first_tokens_shown(_Writer):
    def seen(self, text):
        return text if self.context is None else text[:, : self.context]


@mistake(
    "sample",
    seen="The beginning of the text is gone: who was to see less of it, the model or the reader?",
    named="This equals a loop that cuts the text itself down to the context.",
    caught_by=("test_the_model_is_shown_its_context", "test_a_prompt_longer_than_the_context_is_kept_whole"),
)
class text_cropped(_Writer):
    def append(self, text, token):
        return torch.cat([self.seen(text), token], dim=1)


@mistake(
    "sample",
    seen="A model that says in its config how much it can hold was shown more than that.",
    named="This equals a loop that knows of no context but the argument.",
    caught_by="test_a_model_that_says_its_context_is_shown_no_more",
)
def config_not_asked(model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None):
    whole = 10**9 if context is None else context
    return sample(model, idx, n, temperature, top_k, top_p, generator, eos, whole)


@mistake(
    "sample",
    seen="The prompt is missing from the answer.",
    named="This equals the new tokens alone.",
    caught_by=("test_each_token_follows_from_all_before_it", "test_plain_functions_are_models_too"),
)
def prompt_left_out(model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None):
    return sample(model, idx, n, temperature, top_k, top_p, generator, eos, context)[:, idx.shape[1] :]


@mistake(
    "sample",
    seen="Sampling at temperature 0 gave two answers.",
    named="This equals a loop that leaves the model's dropout on.",
    caught_by="test_dropout_sleeps_and_the_mode_comes_back",
)
class dropout_live(_Writer):
    def enter(self, model):
        return False


@mistake(
    "sample",
    seen="The model came back in another mode than it was sent in.",
    named="This equals a loop that leaves the model in eval mode.",
    caught_by="test_dropout_sleeps_and_the_mode_comes_back",
)
class left_in_eval(_Writer):
    def leave(self, model, was_training):
        pass


@mistake(
    "sample",
    seen="The model came back in another mode than it was sent in.",
    named="This equals a loop that always leaves the model in training mode.",
    caught_by="test_dropout_sleeps_and_the_mode_comes_back",
)
class left_in_training(_Writer):
    def leave(self, model, was_training):
        if hasattr(model, "train"):
            model.train()


@mistake(
    "sample",
    seen="The model remembers every step for gradients that nobody will ask for.",
    named="This equals a loop that runs with gradients on.",
    caught_by="test_nothing_is_remembered_for_gradients",
)
class gradients_on(_Writer):
    def write(self, model, idx, n):
        def with_gradients(tokens):
            with torch.enable_grad():
                return model(tokens).detach()

        was_training = self.enter(model)
        text = _Writer.write(self, with_gradients, idx, n)
        self.leave(model, was_training)
        return text


@mistake(
    "sample",
    seen="Some tokens never appear: do you draw, or do you take the best?",
    named="This equals a loop that always takes the most likely token.",
    caught_by="test_draws_follow_next_token_probs",
)
class never_draws(_Writer):
    def draw(self, probs):
        return probs.argmax(-1, keepdim=True)


@mistake(
    "sample",
    seen="All rows draw the same: how many draws are there in a step?",
    named="This equals a loop that draws once a step, from the first row's distribution.",
    caught_by=("test_draws_follow_next_token_probs", "test_each_token_follows_from_all_before_it"),
)
class one_draw_for_all(_Writer):
    def draw(self, probs):
        return torch.multinomial(probs[:1], 1, generator=self.generator).expand(len(probs), 1).clone()


@mistake(
    "sample",
    seen="Temperature and filters change nothing.",
    named="This equals a loop that draws from the plain softmax.",
    caught_by=("test_draws_follow_next_token_probs", "test_each_token_follows_from_all_before_it"),
)
class knobs_not_passed_on(_Writer):
    def write(self, model, idx, n):
        self.knobs = (1.0, None, None)
        return super().write(model, idx, n)


@mistake(
    "sample",
    seen="The same generator gives two different texts.",
    named="This equals a loop that draws from torch's own generator, whatever it is given.",
    caught_by="test_a_generator_fixes_the_text",
)
class generator_ignored(_Writer):
    def draw(self, probs):
        return torch.multinomial(probs, 1)


@mistake(
    "sample",
    seen="The prompt that was handed in is not what it was.",
    named="This equals a loop that writes eos over the prompt's own tensor.",
    caught_by="test_the_prompt_is_left_alone",
)
class prompt_overwritten(_Writer):
    def write(self, model, idx, n):
        text = super().write(model, idx, n)
        idx[:, -1] = text[:, -1]
        return text
