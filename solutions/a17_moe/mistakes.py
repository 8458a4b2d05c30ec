"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import math

import reference
import torch
import torch.nn.functional as F
from reference import MoELayer, bias_balanced_route, expert_capacity, load_balance_loss, switch_route, train_moe, z_loss

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------------ expert_capacity

SEATS = "test_seats_are_rounded_up"


def _checked(n_tokens, n_experts, factor):
    expert_capacity(n_tokens, n_experts, factor)
    return factor * n_tokens / n_experts


@mistake(
    "expert_capacity",
    seen="Your experts have a seat fewer than stated.",
    named="This equals rounding down.",
    caught_by=SEATS,
)
def capacity_floor(n_tokens, n_experts, factor):
    return max(1, math.floor(_checked(n_tokens, n_experts, factor) + 1e-9))


@mistake(
    "expert_capacity",
    seen="Is 1.1 times 100, divided by 10, eleven on your machine?",
    named="This equals rounding up whatever the rounding error of the product is.",
    caught_by=SEATS,
)
def dust_rounded_up(n_tokens, n_experts, factor):
    return max(1, math.ceil(_checked(n_tokens, n_experts, factor)))


@mistake(
    "expert_capacity",
    seen="Half seats are not always rounded the same way.",
    named="This equals rounding to the nearest whole number.",
    caught_by=SEATS,
)
def capacity_rounded(n_tokens, n_experts, factor):
    return max(1, round(_checked(n_tokens, n_experts, factor)))


@mistake(
    "expert_capacity",
    seen="With few tokens there is an expert without a seat.",
    named="This equals a capacity of 0 where there should be one seat.",
    caught_by=SEATS,
)
def no_seat_for_few(n_tokens, n_experts, factor):
    return math.ceil(_checked(n_tokens, n_experts, factor) - 1e-9)


@mistake(
    "expert_capacity",
    seen="What are experts that are not there, and a factor of nothing?",
    named="This equals a capacity for every number.",
    caught_by="test_what_has_no_capacity",
)
def any_capacity(n_tokens, n_experts, factor):
    return max(1, math.ceil(factor * n_tokens / max(n_experts, 1) - 1e-9))


# --------------------------------------------------------------------------------------------------------- switch_route

FREE = "test_each_goes_to_the_most_probable"
FULL = "test_overflow_goes_by_place"
TIES = "test_ties_go_to_the_lowest_number"
PADS = "test_padding_is_not_there"


def _seats(chosen):
    return (chosen.cumsum(0) * chosen).sum(1)


def _real(logits, mask):
    return torch.ones(len(logits), dtype=torch.bool) if mask is None else mask


@mistake(
    "switch_route",
    seen="However full an expert is, nobody is dropped.",
    named="This equals a running count along the wrong axis: each token finds an empty expert.",
    caught_by=FULL,
)
def capacity_never_binds(logits, capacity, mask=None):
    expert, gate, _ = switch_route(logits, capacity, mask)
    return expert, gate, _real(logits, mask).clone()


@mistake(
    "switch_route",
    seen="Overflow is decided by place in the batch, not by confidence.",
    named="This equals keeping the tokens with the largest gates.",
    caught_by=FULL,
)
def dropped_by_gate(logits, capacity, mask=None):
    expert, gate, _ = switch_route(logits, capacity, mask)
    order = gate.detach().argsort(descending=True)
    chosen = F.one_hot(expert.clamp(min=0), logits.shape[1]) * _real(logits, mask)[:, None]
    seat = torch.empty_like(expert)
    seat[order] = _seats(chosen[order])
    return expert, gate, _real(logits, mask) & (seat <= capacity)


@mistake(
    "switch_route",
    seen="Dividing a single gate by itself removes its gradient.",
    named="This equals a gate of 1 for everybody.",
    caught_by=FREE,
)
def gate_renormalised(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits, capacity, mask)
    return expert, gate / gate.clamp(min=1e-30), kept


@mistake(
    "switch_route",
    seen="Can the router learn anything from your gate?",
    named="This equals the right gate without its gradient.",
    caught_by=FREE,
)
def gate_detached(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits, capacity, mask)
    return expert, gate.detach(), kept


@mistake(
    "switch_route",
    seen="A gate is a probability.",
    named="This equals the largest logit in place of its probability.",
    caught_by=FREE,
)
def gate_of_logits(logits, capacity, mask=None):
    expert, _, kept = switch_route(logits, capacity, mask)
    return expert, logits.max(dim=1).values * _real(logits, mask), kept


@mistake(
    "switch_route",
    seen="An expert with two seats takes one token.",
    named="This equals a seat number that has to be below the capacity.",
    caught_by=FULL,
)
def a_seat_too_few(logits, capacity, mask=None):
    expert, gate, _ = switch_route(logits, capacity, mask)
    chosen = F.one_hot(expert.clamp(min=0), logits.shape[1]) * _real(logits, mask)[:, None]
    return expert, gate, _real(logits, mask) & (_seats(chosen) < capacity)


@mistake(
    "switch_route",
    seen="A token without a seat keeps its gate: the caller decides what to do with it.",
    named="This equals a gate of 0 for tokens that are not kept.",
    caught_by=FULL,
)
def gate_of_the_dropped(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits, capacity, mask)
    return expert, gate * kept, kept


@mistake(
    "switch_route",
    seen="A token whose expert is full is not kept; nobody sends it elsewhere.",
    named="This equals a second choice for those who overflow.",
    caught_by=FULL,
)
def second_choice(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits, capacity, mask)
    real = _real(logits, mask)
    probs = logits.softmax(1)
    runner_up = probs.topk(2, dim=1)
    sent = real & ~kept
    expert = torch.where(sent, runner_up.indices[:, 1], expert)
    return expert, torch.where(sent, runner_up.values[:, 1], gate), real.clone()


@mistake(
    "switch_route",
    seen="If two experts are equally probable, which one is it?",
    named="This equals taking the last of several equal experts.",
    caught_by=TIES,
)
def ties_to_the_last(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits.flip(1), capacity, mask)
    return torch.where(expert < 0, expert, logits.shape[1] - 1 - expert), gate, kept


@mistake(
    "switch_route",
    seen="Padding takes seats.",
    named="This equals routing with padding in the count.",
    caught_by=PADS,
)
def pads_take_seats(logits, capacity, mask=None):
    expert, gate, kept = switch_route(logits, capacity)
    real = _real(logits, mask)
    return expert.masked_fill(~real, -1), gate * real, kept & real


@mistake(
    "switch_route",
    seen="What does your gate say about a token that is not there?",
    named="This equals gates for padding.",
    caught_by=PADS,
)
def gates_for_padding(logits, capacity, mask=None):
    expert, _, kept = switch_route(logits, capacity, mask)
    return expert, logits.softmax(1).max(1).values, kept


@mistake(
    "switch_route",
    seen="Padding has an expert.",
    named="This equals an expert for padding too.",
    caught_by=PADS,
)
def experts_for_padding(logits, capacity, mask=None):
    _, gate, kept = switch_route(logits, capacity, mask)
    return logits.argmax(1), gate, kept


@mistake(
    "switch_route",
    seen="How can an expert without a seat take part?",
    named="This equals routing with any capacity.",
    caught_by="test_what_cannot_be_routed",
)
def any_seats(logits, capacity, mask=None):
    return switch_route(logits, max(capacity, 1), mask)


# ---------------------------------------------------------------------------------------------------- load_balance_loss

CROWD = "test_a_loss_for_crowding"
SEVERAL = "test_several_experts_a_token"
VOTE = "test_padding_has_no_vote"


def _parts(probs, expert, mask):
    load_balance_loss(probs, expert, mask)  # refuses what is to be refused
    if mask is not None:
        probs, expert = probs[mask], expert[mask]
    f = torch.bincount(expert.flatten(), minlength=probs.shape[1]) / expert.numel()
    return f, probs.mean(0), probs.shape[1]


@mistake(
    "load_balance_loss",
    seen="At a perfectly even load your loss depends on how many experts a token uses.",
    named="This equals shares of tokens, which sum to K, in place of shares of assignments.",
    caught_by=SEVERAL,
)
def balance_scaled_by_k(probs, expert, mask=None):
    f, P, E = _parts(probs, expert, mask)
    return E * (f * P).sum() * (1 if expert.dim() == 1 else expert.shape[1])


@mistake(
    "load_balance_loss",
    seen="No gradient can flow through counts alone.",
    named="This equals E times the sum of the squared shares.",
    caught_by=CROWD,
)
def balance_f_squared(probs, expert, mask=None):
    f, _, E = _parts(probs, expert, mask)
    return E * f.square().sum()


@mistake(
    "load_balance_loss",
    seen="Even if all is even, how much is your loss?",
    named="This equals the sum of shares times probabilities without the factor E.",
    caught_by=CROWD,
)
def without_e(probs, expert, mask=None):
    f, P, _ = _parts(probs, expert, mask)
    return (f * P).sum()


@mistake(
    "load_balance_loss",
    seen="Your loss does not know where the tokens went.",
    named="This equals E times the sum of the squared mean probabilities.",
    caught_by=CROWD,
)
def balance_p_squared(probs, expert, mask=None):
    _, P, E = _parts(probs, expert, mask)
    return E * P.square().sum()


@mistake(
    "load_balance_loss",
    seen="Crowding is a matter of the whole batch, not of each token.",
    named="This equals the mean, over tokens, of E times the share of its expert times its gate.",
    caught_by=CROWD,
)
def only_the_chosen(probs, expert, mask=None):
    f, _, E = _parts(probs, expert, mask)
    if mask is not None:
        probs, expert = probs[mask], expert[mask]
    chosen = probs.gather(1, expert.view(len(expert), -1))
    return E * (f[expert.view(len(expert), -1)] * chosen).mean()


@mistake(
    "load_balance_loss",
    seen="Padding votes.",
    named="This equals mean probabilities over all rows, padding too.",
    caught_by=VOTE,
)
def pads_vote(probs, expert, mask=None):
    f, _, E = _parts(probs, expert, mask)
    return E * (f * probs.mean(0)).sum()


@mistake(
    "load_balance_loss",
    seen="By how many tokens do you divide, if some are not real?",
    named="This equals sums over real tokens divided by the number of all.",
    caught_by=VOTE,
)
def divided_by_all(probs, expert, mask=None):
    f, P, E = _parts(probs, expert, mask)
    share = 1.0 if mask is None else mask.float().mean()
    return E * (f * P).sum() * share * share


@mistake(
    "load_balance_loss",
    seen="What is the balance of a batch in which nobody is?",
    named="This equals a loss of 0 for a batch without a real token.",
    caught_by="test_what_has_no_balance",
)
def nobody_is_balanced(probs, expert, mask=None):
    if not len(probs) or (mask is not None and mask.shape == probs.shape[:1] and not mask.any()):
        return probs.sum() * 0.0
    return load_balance_loss(probs, expert, mask)


# --------------------------------------------------------------------------------------------------------------- z_loss

SQUARE = "test_the_square_of_the_log_sum"
Z_PADS = "test_padding_costs_nothing"


def _kept(logits, mask):
    z_loss(logits, mask)
    return logits if mask is None else logits[mask]


@mistake(
    "z_loss",
    seen="The price does not grow as a square.",
    named="This equals the mean log-sum-exp, not squared.",
    caught_by=SQUARE,
)
def not_squared(logits, mask=None):
    return _kept(logits, mask).logsumexp(1).mean()


@mistake(
    "z_loss",
    seen="Mean and square have changed places.",
    named="This equals the square of the mean log-sum-exp.",
    caught_by=SQUARE,
)
def square_of_the_mean(logits, mask=None):
    return _kept(logits, mask).logsumexp(1).mean().square()


@mistake(
    "z_loss",
    seen="Every logit has a price in your loss; it is their log-sum-exp that should have one.",
    named="This equals the mean square of the logits.",
    caught_by=SQUARE,
)
def logits_squared(logits, mask=None):
    return _kept(logits, mask).square().mean()


@mistake(
    "z_loss",
    seen="What is the exponential of 1,000?",
    named="This equals a logarithm of a sum that has already overflowed.",
    caught_by=SQUARE,
)
def overflowing_sum(logits, mask=None):
    return _kept(logits, mask).exp().sum(1).log().square().mean()


@mistake(
    "z_loss",
    seen="Padding has a price in your loss.",
    named="This equals the mean over all rows, padding too.",
    caught_by=Z_PADS,
)
def pads_priced(logits, mask=None):
    _kept(logits, mask)
    return logits.logsumexp(1).square().mean()


@mistake(
    "z_loss",
    seen="What is the mean over nobody?",
    named="This equals NaN, quietly, for a batch without a real token.",
    caught_by="test_what_has_no_z",
)
def nan_for_nobody(logits, mask=None):
    if logits.dim() == 2 and mask is not None and mask.shape == logits.shape[:1] and not mask.any():
        return logits.sum() * math.nan
    return z_loss(logits, mask)


# ------------------------------------------------------------------------------------------------------------- MoELayer

ALL_SEATED = "test_seats_for_all"
OVERFLOW = "test_who_overflows_gets_nothing"
PADDED = "test_padding_changes_nothing"
LEARNS = "test_the_router_learns_through_the_gate"
LOSSES = "test_the_losses_have_gradients"


class _Layer(MoELayer):
    """The reference's layer with one part changed."""

    gated = True
    activation = staticmethod(F.relu)
    dropped_gets = staticmethod(lambda gate, x: torch.zeros_like(x))
    counts_pads = False
    by_columns = False
    after_drop = False
    of_all = False
    detached = False

    def forward(self, x, mask=None):
        if self.by_columns:
            y, info = self._forward(x.transpose(0, 1), None if mask is None else mask.T)
            return y.transpose(0, 1), info
        return self._forward(x, mask)

    def _forward(self, x, mask):
        tokens = x.reshape(-1, x.shape[-1])
        real = torch.ones(len(tokens), dtype=torch.bool) if mask is None else mask.reshape(-1)
        routed = torch.ones_like(real) if self.counts_pads else real
        logits = tokens @ self.router.T
        E = len(self.router)
        n = len(tokens) if self.of_all else int(routed.sum())
        expert, gate, kept = switch_route(logits, expert_capacity(n, E, self.capacity_factor), routed)
        dropped = self.dropped_gets(gate[:, None], tokens) * real[:, None]
        rows, parts = [], []
        for i in range(E):
            here = (kept & (expert == i)).nonzero()[:, 0]
            out = self.activation(tokens[here] @ self.w_in[i].T) @ self.w_out[i].T
            rows.append(here)
            parts.append(gate[here, None] * out if self.gated else out)
        rows = torch.cat(rows)
        y = dropped.clone()
        y[rows] = torch.cat(parts)
        counted = kept if self.after_drop else routed
        used = logits.detach() if self.detached else logits
        info = {
            "balance": load_balance_loss(used.softmax(1), expert, counted),
            "z": z_loss(used, routed),
            "dropped": 1 - kept.sum() / routed.sum(),
            "load": torch.bincount(expert[counted], minlength=E),
        }
        return y.view_as(x), info


@mistake(
    "MoELayer",
    seen="A dropped token gets itself added twice: the residual already carries it.",
    named="This equals gate times the token itself where a token is dropped.",
    caught_by=OVERFLOW,
)
class DroppedAsIdentity(_Layer):
    dropped_gets = staticmethod(lambda gate, x: gate * x)


@mistake(
    "MoELayer",
    seen="The router never learns: its choice does not touch the output smoothly.",
    named="This equals an output that is not multiplied by its gate.",
    caught_by=(ALL_SEATED, LEARNS),
)
class GateMissing(_Layer):
    gated = False


@mistake(
    "MoELayer",
    seen="Overflow hides the very imbalance that you want to measure.",
    named="This equals a balance loss and a load over the tokens that were kept.",
    caught_by=OVERFLOW,
)
class BalanceAfterDrop(_Layer):
    after_drop = True


@mistake(
    "MoELayer",
    seen="Padding takes seats and votes.",
    named="This equals a layer that does not look at its mask.",
    caught_by=PADDED,
)
class PadsRouted(_Layer):
    counts_pads = True


@mistake(
    "MoELayer",
    seen="More padding, more seats?",
    named="This equals a capacity of all tokens, padding too.",
    caught_by=PADDED,
)
class SeatsForPadding(_Layer):
    of_all = True


@mistake(
    "MoELayer",
    seen="In which order do the tokens of a batch come?",
    named="This equals taking the batch column by column.",
    caught_by=OVERFLOW,
)
class ColumnByColumn(_Layer):
    by_columns = True


@mistake(
    "MoELayer",
    seen="Your experts are not bent where they should be.",
    named="This equals experts with a GELU.",
    caught_by=ALL_SEATED,
)
class WithGelu(_Layer):
    activation = staticmethod(F.gelu)


@mistake(
    "MoELayer",
    seen="Does an expert need two matrices, if nothing stands between them?",
    named="This equals experts without an activation.",
    caught_by=ALL_SEATED,
)
class Linear(_Layer):
    activation = staticmethod(lambda x: x)


@mistake(
    "MoELayer",
    seen="Your two losses are right, and nothing can learn from them.",
    named="This equals losses of logits that were cut off.",
    caught_by=LOSSES,
)
class LossesCutOff(_Layer):
    detached = True


# -------------------------------------------------------------------------------------------------- bias_balanced_route

CHOOSES = "test_the_bias_chooses_and_is_silent"
SCALED = "test_the_weights_are_scaled"


def _chosen(logits, bias, top_k):
    bias_balanced_route(logits, bias, top_k)
    return logits.sigmoid(), (logits.sigmoid() + bias).detach().topk(top_k, dim=1).indices


def _normalised(weights, scaling):
    return weights / (weights.sum(1, keepdim=True) + 1e-20) * scaling


@mistake(
    "bias_balanced_route",
    seen="The bias may choose, but must not speak.",
    named="This equals weights from score plus bias.",
    caught_by=CHOOSES,
)
def bias_in_weights(logits, bias, top_k, scaling=1.0):
    scores, indices = _chosen(logits, bias, top_k)
    return indices, _normalised((scores + bias.detach()).gather(1, indices), scaling)


@mistake(
    "bias_balanced_route",
    seen="The bias follows the load, not the loss.",
    named="This equals a gradient that flows into the bias.",
    caught_by=CHOOSES,
)
def bias_has_gradient(logits, bias, top_k, scaling=1.0):
    scores, indices = _chosen(logits, bias, top_k)
    hidden = bias - bias.detach()  # 0, with a gradient
    return indices, _normalised((scores + hidden).gather(1, indices), scaling)


@mistake(
    "bias_balanced_route",
    seen="In this variant each expert is scored on its own.",
    named="This equals scores by a softmax.",
    caught_by=CHOOSES,
)
def softmax_for_sigmoid(logits, bias, top_k, scaling=1.0):
    bias_balanced_route(logits, bias, top_k)
    scores = logits.softmax(1)
    indices = (scores + bias).detach().topk(top_k, dim=1).indices
    return indices, _normalised(scores.gather(1, indices), scaling)


@mistake(
    "bias_balanced_route",
    seen="To what do the weights of a token sum?",
    named="This equals weights that are not normalised.",
    caught_by=CHOOSES,
)
def weights_as_they_are(logits, bias, top_k, scaling=1.0):
    scores, indices = _chosen(logits, bias, top_k)
    return indices, scores.gather(1, indices) * scaling


@mistake(
    "bias_balanced_route",
    seen="The bias changes nothing.",
    named="This equals a choice by the scores alone.",
    caught_by=CHOOSES,
)
def deaf_to_the_bias(logits, bias, top_k, scaling=1.0):
    return bias_balanced_route(logits, torch.zeros_like(bias), top_k, scaling)


@mistake(
    "bias_balanced_route",
    seen="Is the bias added before or after the sigmoid?",
    named="This equals a bias on the logits.",
    caught_by=CHOOSES,
)
def bias_on_logits(logits, bias, top_k, scaling=1.0):
    bias_balanced_route(logits, bias, top_k)
    indices = (logits + bias).detach().topk(top_k, dim=1).indices
    return indices, _normalised(logits.sigmoid().gather(1, indices), scaling)


@mistake(
    "bias_balanced_route",
    seen="Whatever scaling is given, your weights sum to 1.",
    named="This equals weights without their scaling.",
    caught_by=SCALED,
)
def scaling_forgotten(logits, bias, top_k, scaling=1.0):
    return bias_balanced_route(logits, bias, top_k)


@mistake(
    "bias_balanced_route",
    seen="What would nobody's expert be?",
    named="This equals a choice of at least one expert, whatever is asked.",
    caught_by="test_what_cannot_be_chosen",
)
def any_top_k(logits, bias, top_k, scaling=1.0):
    return bias_balanced_route(logits, bias, min(max(top_k, 1), logits.shape[-1]), scaling)


# ---------------------------------------------------------------------------------------------------------- update_bias

RISES = "test_below_the_mean_rises"


def _load(bias, load, rate):
    reference.update_bias(bias, load, rate)
    return load.to(bias.dtype)


@mistake(
    "update_bias",
    seen="Busy experts become more attractive.",
    named="This equals a step in the other direction.",
    caught_by=RISES,
)
def bias_update_reversed(bias, load, rate):
    load = _load(bias, load, rate)
    return bias - rate * (load.mean() - load).sign()


@mistake(
    "update_bias",
    seen="How far does the bias of an expert move that is ten times too full?",
    named="This equals a step in proportion to the difference.",
    caught_by=RISES,
)
def in_proportion(bias, load, rate):
    load = _load(bias, load, rate)
    return bias + rate * (load.mean() - load)


@mistake(
    "update_bias",
    seen="Who is exactly at the mean should stay where it is.",
    named="This equals a rise at the mean.",
    caught_by=RISES,
)
def rises_at_the_mean(bias, load, rate):
    load = _load(bias, load, rate)
    return bias + torch.where(load <= load.mean(), rate, -rate)


@mistake(
    "update_bias",
    seen="Half of the experts stand above the middle one. Is that the mean?",
    named="This equals a comparison with the median.",
    caught_by=RISES,
)
def against_the_median(bias, load, rate):
    load = _load(bias, load, rate)
    return bias + rate * (load.median() - load).sign()


@mistake(
    "update_bias",
    seen="Where does the bias stand that you were given?",
    named="This equals the step alone, without the bias before it.",
    caught_by=RISES,
)
def step_alone(bias, load, rate):
    return reference.update_bias(torch.zeros_like(bias), load, rate)


@mistake(
    "update_bias",
    seen="A thermostat with a negative rate heats what is hot.",
    named="This equals an update with any rate.",
    caught_by="test_what_moves_no_bias",
)
def any_rate(bias, load, rate):
    return reference.update_bias(bias, load, abs(rate))


# ---------------------------------------------------------------------------------------------------------- DeepSeekMoE

SOFT = "test_chosen_experts_keep_their_probabilities"
SIGMOID = "test_sigmoid_with_a_bias"
LONELY = "test_without_shared_experts"


class _Fine(reference.DeepSeekMoE):
    """The reference's layer with one part changed."""

    def chosen(self, logits):
        if self.score == "sigmoid":
            return bias_balanced_route(logits, self.bias, self.top_k)
        weights, indices = logits.softmax(1).topk(self.top_k, dim=1)
        return indices, weights

    def swiglu(self, tokens, gate_up, down):
        g, u = (tokens @ gate_up.T).chunk(2, dim=-1)
        return (F.silu(g) * u) @ down.T

    def shared(self, tokens, weights):
        return self.swiglu(tokens, self.shared_gate_up, self.shared_down)

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        indices, weights = self.chosen(tokens @ self.gate.T)
        self.load = torch.bincount(indices.flatten(), minlength=len(self.gate))
        y = self.shared(tokens, weights)
        for i in range(len(self.gate)):
            row, place = (indices == i).nonzero(as_tuple=True)
            y = y.index_add(
                0, row, weights[row, place, None] * self.swiglu(tokens[row], self.w_gate_up[i], self.w_down[i])
            )
        return y.view_as(x)


@mistake(
    "DeepSeekMoE",
    seen="Shared experts serve every token fully.",
    named="This equals shared experts that share the weights of the routed ones.",
    caught_by=SOFT,
)
class SharedGated(_Fine):
    def shared(self, tokens, weights):
        return super().shared(tokens, weights) * (1 - weights.sum(1, keepdim=True))


@mistake(
    "DeepSeekMoE",
    seen="The shared experts say nothing.",
    named="This equals routed experts alone.",
    caught_by=SOFT,
)
class SharedForgotten(_Fine):
    def shared(self, tokens, weights):
        return torch.zeros_like(tokens)


@mistake(
    "DeepSeekMoE",
    seen="With softmax the chosen keep the probabilities that they had among all.",
    named="This equals weights that are divided by their sum.",
    caught_by=SOFT,
)
class Renormalised(_Fine):
    def chosen(self, logits):
        indices, weights = super().chosen(logits)
        return indices, weights / weights.sum(1, keepdim=True)


@mistake(
    "DeepSeekMoE",
    seen="Which half goes through the activation?",
    named="This equals SwiGLU with its halves exchanged.",
    caught_by=(SOFT, LONELY),
)
class HalvesExchanged(_Fine):
    def swiglu(self, tokens, gate_up, down):
        u, g = (tokens @ gate_up.T).chunk(2, dim=-1)
        return (F.silu(g) * u) @ down.T


@mistake(
    "DeepSeekMoE",
    seen="One half opens and closes the other; it is not bent as a sigmoid.",
    named="This equals a GLU: a sigmoid in place of SiLU.",
    caught_by=(SOFT, LONELY),
)
class Glu(_Fine):
    def swiglu(self, tokens, gate_up, down):
        g, u = (tokens @ gate_up.T).chunk(2, dim=-1)
        return (g.sigmoid() * u) @ down.T


@mistake(
    "DeepSeekMoE",
    seen='With score="sigmoid" your layer chooses as if nobody had moved the bias.',
    named="This equals a choice that does not know the bias.",
    caught_by=SIGMOID,
)
class BiasUnused(_Fine):
    def chosen(self, logits):
        if self.score == "sigmoid":
            return bias_balanced_route(logits, torch.zeros_like(self.bias), self.top_k)
        return super().chosen(logits)


@mistake(
    "DeepSeekMoE",
    seen="Both scores give the same answer in your layer.",
    named="This equals a softmax whatever score is asked for.",
    caught_by=SIGMOID,
)
class SoftmaxAlways(_Fine):
    def chosen(self, logits):
        weights, indices = logits.softmax(1).topk(self.top_k, dim=1)
        return indices, weights


@mistake(
    "DeepSeekMoE",
    seen="What updates the bias should see how many tokens each expert had.",
    named="This equals a load that stays as it was in the beginning.",
    caught_by=(SOFT, SIGMOID, LONELY),
)
class LoadNotKept(_Fine):
    def forward(self, x):
        y = super().forward(x)
        self.load = torch.zeros_like(self.load)
        return y


@mistake(
    "DeepSeekMoE",
    seen="An optimiser will move what only the load should move.",
    named="This equals a bias that is a parameter.",
    caught_by="test_gradients_of_all_parts",
)
class BiasTrained(_Fine):
    def __init__(self, *settings):
        super().__init__(*settings)
        if self.score == "sigmoid":
            del self.bias
            self.bias = torch.nn.Parameter(torch.zeros(len(self.gate)))


@mistake(
    "DeepSeekMoE",
    seen="What is a score that nobody has heard of?",
    named="This equals a softmax for any other word.",
    caught_by="test_what_cannot_be_made",
)
class AnyScore(_Fine):
    def __init__(self, d_model, d_expert, n_routed, n_shared, top_k, score="softmax"):
        score = score if score in ("softmax", "sigmoid") else "softmax"
        super().__init__(d_model, d_expert, n_routed, n_shared, min(max(top_k, 1), n_routed), score)


# ------------------------------------------------------------------------------------------------------------ train_moe

ONCE = "test_every_batch_once"
EVEN = "test_the_load_is_even_and_the_error_small"


def _trained(layer, batches, steps, share, *, which=lambda step: step, error=1.0):
    optimizer = torch.optim.AdamW(layer.train().parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min((step + 1) / 10, 1.0, 3 * (steps - step) / steps)
        x, y = batches(which(step))
        out, info = layer(x)
        loss = error * F.mse_loss(out, y) + share * info["balance"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer.eval()


@mistake(
    "train_moe",
    seen="A few experts take everything and the rest never learn.",
    named="This equals a training without a balance term.",
    caught_by=EVEN,
    blocker=True,
)
def no_balance(layer, batches, steps, seed):
    return _trained(layer, batches, steps, 0.0)


@mistake(
    "train_moe",
    seen="Crowding lowers your loss.",
    named="This equals a balance term that is subtracted.",
    caught_by=EVEN,
    blocker=True,
)
def balance_sign(layer, batches, steps, seed):
    return _trained(layer, batches, steps, -0.3)


@mistake(
    "train_moe",
    seen="Which batches have you seen?",
    named="This equals a training on the first batch, again and again.",
    caught_by=ONCE,
)
def first_batch_always(layer, batches, steps, seed):
    return _trained(layer, batches, steps, 0.3, which=lambda step: 0)


@mistake(
    "train_moe",
    seen="The layer comes back as it went.",
    named="This equals no training at all.",
    caught_by=ONCE,
)
def never_trained(layer, batches, steps, seed):
    for step in range(steps):
        batches(step)
    return layer.eval()


@mistake(
    "train_moe",
    seen="In which mode should somebody find the layer who wants to use it?",
    named="This equals a layer that is left in training mode.",
    caught_by=ONCE,
)
def left_in_training_mode(layer, batches, steps, seed):
    return train_moe(layer, batches, steps, seed).train()
