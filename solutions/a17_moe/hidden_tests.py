"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import pytest
import torch
from asks import (
    Clusters,
    balance_and_gradient,
    bias_step,
    deepseek_gradients,
    deepseek_output,
    deepseek_shapes,
    layer_gradients,
    layer_output,
    layer_shapes,
    routed,
    routed_by_bias,
    train,
    trained_weights,
    z_and_gradient,
)

from autograder.report import Figure
from autograder.testing import graded_run, needs, task, weight
from autograder.testing.graded import Missed

# Tolerances, each with its reason.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings
PRODUCTS = {"rtol": 1e-4, "atol": 1e-5}  # float32: products of matrices, added in another order


def draw(seed):
    return torch.Generator().manual_seed(seed + 5000)


def normal(seed, *shape, scale=1.0):
    return scale * torch.randn(shape, generator=draw(seed))


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=draw(seed + 1))


def some(seed, n):
    """A mask of n tokens: about two of three are real, the first is padding and the last two are not."""
    mask = torch.rand(n, generator=draw(seed + 2)) < 0.67
    mask[0], mask[-2:] = False, True
    return mask


# ------------------------------------------------------------------------------------------------------ expert_capacity


@task("expert_capacity")
@weight(2)
def test_seats_are_rounded_up(student, reference, seed):
    """Half a seat is a whole one, a whole number stays one, and there is always a seat."""
    n, e, tenths = (
        whole(seed + i, low, high, 12).tolist() for i, (low, high) in enumerate([(1, 400), (1, 40), (5, 30)])
    )
    cases = [(a, b, c / 10) for a, b, c in zip(n, e, tenths, strict=True)]
    cases += [(100, 10, 1.1), (1000, 10, 1.1), (30, 10, 0.7), (2, 16, 0.5), (0, 4, 1.0), (7 + seed, 1, 1.0)]
    for case in cases:
        student.expert_capacity(*case).equals(reference.expert_capacity(*case).value)


@task("expert_capacity")
@needs("test_seats_are_rounded_up")
def test_what_has_no_capacity(student):
    """No experts, fewer tokens than none, and factors that are not above 0 are refused."""
    for bad in ((10, 0, 1.0), (-1, 4, 1.0), (10, 4, 0.0), (10, 4, -1.0)):
        student.expert_capacity(*bad).refused()


# --------------------------------------------------------------------------------------------------------- switch_route


def same_route(student, reference, *asked):
    student.ask(routed, *asked).equals(reference.ask(routed, *asked).value, **FLOAT32)


@task("switch_route")
@weight(2)
def test_each_goes_to_the_most_probable(student, reference, seed):
    """With seats for all, each token goes to its most probable expert; the gate is that probability, with its gradient."""
    same_route(student, reference, normal(seed, 20, 5), 20, None, normal(seed + 1, 20))


@task("switch_route")
@weight(2)
@pytest.mark.parametrize("capacity", [1, 3])
def test_overflow_goes_by_place(student, reference, seed, capacity):
    """An expert keeps the first tokens that come, however sure the later ones are; their gates stay what they are."""
    same_route(student, reference, normal(seed, 24, 4, scale=2), capacity, None, normal(seed + 1, 24))


@task("switch_route")
@needs("test_each_goes_to_the_most_probable")
def test_ties_go_to_the_lowest_number(student, reference, seed):
    """Where several experts are equally probable, the one with the lowest number is chosen."""
    logits = whole(seed, 0, 3, 20, 6).float()
    same_route(student, reference, logits, 4, None, normal(seed + 1, 20))


@task("switch_route")
@weight(2)
@needs("test_each_goes_to_the_most_probable")
def test_padding_is_not_there(student, reference, seed):
    """Where the mask is False: expert -1, gate 0, no seat; and the others are kept as if it were not there."""
    same_route(student, reference, normal(seed, 24, 3), 3, some(seed, 24), normal(seed + 1, 24))


@task("switch_route")
@needs("test_overflow_goes_by_place")
def test_what_cannot_be_routed(student, seed):
    """Logits in another shape, no seats, and a mask of another length are refused."""
    student.switch_route(normal(seed, 6), 2).refused()
    student.switch_route(normal(seed, 2, 3, 4), 2).refused()
    student.switch_route(normal(seed, 6, 3), 0).refused()
    student.switch_route(normal(seed, 6, 3), 2, torch.ones(5, dtype=torch.bool)).refused()


# ---------------------------------------------------------------------------------------------------- load_balance_loss


def same_balance(student, reference, *asked):
    student.ask(balance_and_gradient, *asked).equals(reference.ask(balance_and_gradient, *asked).value, **FLOAT32)


@task("load_balance_loss")
@weight(2)
def test_a_loss_for_crowding(student, reference, seed):
    """E times the sum of shares times mean probabilities; the gradient flows into the probabilities alone."""
    probs = normal(seed, 18, 5).softmax(1)
    same_balance(student, reference, probs, probs.argmax(1), None)


@task("load_balance_loss")
@pytest.mark.parametrize("k", [2, 3])
def test_several_experts_a_token(student, reference, seed, k):
    """With K experts a token, f is the share of all K T assignments."""
    probs = normal(seed, 18, 6).softmax(1)
    same_balance(student, reference, probs, probs.topk(k, dim=1).indices, None)


@task("load_balance_loss")
@weight(2)
@needs("test_a_loss_for_crowding")
def test_padding_has_no_vote(student, reference, seed):
    """Only real tokens count, in both factors; what stands at the others means nothing."""
    probs, mask = normal(seed, 18, 5).softmax(1), some(seed, 18)
    expert = torch.where(mask, probs.argmax(1), whole(seed, -1, 5, 18))
    same_balance(student, reference, probs, expert, mask)
    same_balance(student, reference, probs, probs.topk(2, dim=1).indices, mask)


@task("load_balance_loss")
@needs("test_a_loss_for_crowding")
def test_what_has_no_balance(student, seed):
    """No real token, and shapes that do not fit, are refused."""
    probs = normal(seed, 4, 3).softmax(1)
    student.load_balance_loss(probs, probs.argmax(1), torch.zeros(4, dtype=torch.bool)).refused()
    student.load_balance_loss(probs, probs.argmax(1)[:3]).refused()
    student.load_balance_loss(probs, probs.argmax(1), torch.ones(3, dtype=torch.bool)).refused()
    student.load_balance_loss(probs[:0], probs.argmax(1)[:0]).refused()


# --------------------------------------------------------------------------------------------------------------- z_loss


def same_z(student, reference, *asked, **tolerance):
    student.ask(z_and_gradient, *asked).equals(reference.ask(z_and_gradient, *asked).value, **(tolerance or FLOAT32))


@task("z_loss")
@weight(2)
def test_the_square_of_the_log_sum(student, reference, seed):
    """The mean over tokens of the squared log-sum-exp, with its gradient; logits of 1,000 are no problem."""
    same_z(student, reference, normal(seed, 12, 4, scale=2), None)
    # beside 1,000 a float32 is 6e-5 coarse, and so are the probabilities in the gradient
    same_z(student, reference, 1000 + normal(seed, 3, 4), None, rtol=3e-4)


@task("z_loss")
@needs("test_the_square_of_the_log_sum")
def test_padding_costs_nothing(student, reference, seed):
    """Only real tokens are in the mean, and only they have a gradient."""
    mask = some(seed, 12)
    logits = torch.where(mask[:, None], normal(seed, 12, 4), 50.0)
    same_z(student, reference, logits, mask)


@task("z_loss")
@needs("test_the_square_of_the_log_sum")
def test_what_has_no_z(student, seed):
    """No real token, and shapes that do not fit, are refused."""
    student.z_loss(normal(seed, 3, 4), torch.zeros(3, dtype=torch.bool)).refused()
    student.z_loss(normal(seed, 3, 4), torch.ones(2, dtype=torch.bool)).refused()
    student.z_loss(normal(seed, 4)).refused()


# ------------------------------------------------------------------------------------------------------------- MoELayer


def layer_weights(seed, D=6, F=5, E=4):
    return {
        "router": normal(seed + 10, E, D), "w_in": normal(seed + 11, E, F, D), "w_out": normal(seed + 12, E, D, F),
    }  # fmt: skip


def same_layer(student, reference, *asked):
    student.ask(layer_output, *asked).equals(reference.ask(layer_output, *asked).value, **PRODUCTS)


@task("MoELayer")
@needs("test_seats_for_all")
def test_three_parameters(student, reference):
    """router (E, D), w_in (E, F, D) and w_out (E, D, F), and no other."""
    student.ask(layer_shapes, 6, 5, 4).equals(reference.ask(layer_shapes, 6, 5, 4).value)


@task("MoELayer")
@weight(2)
def test_seats_for_all(student, reference, seed):
    """If all have seats, the output is gate times expert for every token."""
    same_layer(student, reference, layer_weights(seed), normal(seed, 3, 7, 6), None, 4.0)


@task("MoELayer")
@weight(2)
def test_who_overflows_gets_nothing(student, reference, seed):
    """Row by row, whoever comes when all seats are taken gets 0; losses and load are those before."""
    same_layer(student, reference, layer_weights(seed), normal(seed, 3, 8, 6), None, 0.5)


@task("MoELayer")
@weight(2)
@needs("test_seats_for_all")
def test_padding_changes_nothing(student, reference, seed):
    """Padding gets 0, takes no seat, has no vote, and does not add to the capacity."""
    mask = torch.stack([some(seed + i, 8) for i in range(3)])
    same_layer(student, reference, layer_weights(seed), normal(seed, 3, 8, 6), mask, 0.8)


@task("MoELayer")
@weight(2)
def test_the_router_learns_through_the_gate(student, reference, seed):
    """The gradients of the output, for the experts and, through the gate, for the router."""
    asked = (layer_weights(seed), normal(seed, 2, 8, 6), None, 1.0, normal(seed + 1, 2, 8, 6), [1.0, 0.0, 0.0])
    student.ask(layer_gradients, *asked).equals(reference.ask(layer_gradients, *asked).value, **PRODUCTS)


@task("MoELayer")
@needs("test_the_router_learns_through_the_gate")
@pytest.mark.parametrize("which", ["balance", "z"])
def test_the_losses_have_gradients(student, reference, seed, which):
    """The two losses pull at the router, and at nothing else."""
    shares = {"balance": [0.0, 1.0, 0.0], "z": [0.0, 0.0, 1.0]}[which]
    asked = (layer_weights(seed), normal(seed, 2, 8, 6), None, 1.0, normal(seed + 1, 2, 8, 6), shares)
    student.ask(layer_gradients, *asked).equals(reference.ask(layer_gradients, *asked).value, **PRODUCTS)


# -------------------------------------------------------------------------------------------------- bias_balanced_route


def same_choice(student, reference, *asked):
    student.ask(routed_by_bias, *asked).equals(reference.ask(routed_by_bias, *asked).value, **FLOAT32)


@task("bias_balanced_route")
@weight(2)
@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_the_bias_chooses_and_is_silent(student, reference, seed, top_k):
    """Chosen by score plus bias, weighed by score alone, and no gradient reaches the bias."""
    same_choice(
        student, reference, normal(seed, 12, 5), normal(seed + 1, 5, scale=0.3), top_k, 1.0, normal(seed + 2, 12, 5)
    )


@task("bias_balanced_route")
@needs("test_the_bias_chooses_and_is_silent")
def test_the_weights_are_scaled(student, reference, seed):
    """The weights of a token sum to `scaling`."""
    same_choice(
        student, reference, normal(seed, 12, 5), normal(seed + 1, 5, scale=0.3), 2, 2.5, normal(seed + 2, 12, 5)
    )


@task("bias_balanced_route")
@needs("test_the_bias_chooses_and_is_silent")
def test_what_cannot_be_chosen(student, seed):
    """A top_k outside of 1 to E, and a bias of another length, are refused."""
    for top_k in (0, 6):
        student.bias_balanced_route(normal(seed, 3, 5), normal(seed, 5), top_k).refused()
    student.bias_balanced_route(normal(seed, 3, 5), normal(seed, 4), 2).refused()
    student.bias_balanced_route(normal(seed, 5), normal(seed, 5), 2).refused()


# ---------------------------------------------------------------------------------------------------------- update_bias


@task("update_bias")
@weight(2)
def test_below_the_mean_rises(student, reference, seed):
    """Plus the rate below the mean load, minus above it, nothing at it, whether counts or shares are given."""
    bias, at_the_mean = normal(seed, 6), torch.tensor([1, 3, 5, 3, 4, 2])[torch.randperm(6, generator=draw(seed))]
    for each in (at_the_mean, whole(seed + 3, 0, 90, 6), normal(seed + 4, 6).softmax(0)):
        asked = (bias, each, 0.001 * (1 + seed % 7))
        student.ask(bias_step, *asked).equals(reference.ask(bias_step, *asked).value, **FLOAT32)


@task("update_bias")
@needs("test_below_the_mean_rises")
def test_what_moves_no_bias(student, seed):
    """A load of another length and a rate below 0 are refused."""
    student.update_bias(normal(seed, 4), whole(seed, 0, 9, 3), 0.1).refused()
    student.update_bias(normal(seed, 4), whole(seed, 0, 9, 4), -0.1).refused()


# ---------------------------------------------------------------------------------------------------------- DeepSeekMoE


def fine_weights(seed, D=6, F=4, E=5, shared=2, bias=False):
    found = {
        "gate": normal(seed + 10, E, D), "w_gate_up": normal(seed + 11, E, 2 * F, D),
        "w_down": normal(seed + 12, E, D, F), "shared_gate_up": normal(seed + 13, 2 * shared * F, D),
        "shared_down": normal(seed + 14, D, shared * F),
    }  # fmt: skip
    return {**found, "bias": normal(seed + 15, E, scale=0.3)} if bias else found


def same_fine_layer(student, reference, *asked):
    student.ask(deepseek_output, *asked).equals(reference.ask(deepseek_output, *asked).value, **PRODUCTS)


@task("DeepSeekMoE")
@needs("test_chosen_experts_keep_their_probabilities")
@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_parameters_and_a_buffer(student, reference, score):
    """Five parameters in the shapes of the handout; with sigmoid a bias beside them, which no optimiser sees."""
    asked = (6, 4, 5, 2, 3, score)
    student.ask(deepseek_shapes, *asked).equals(reference.ask(deepseek_shapes, *asked).value)


@task("DeepSeekMoE")
@weight(2)
def test_chosen_experts_keep_their_probabilities(student, reference, seed):
    """Softmax over all routed experts, the largest K as they are, and the shared experts on top."""
    same_fine_layer(student, reference, fine_weights(seed), normal(seed, 2, 6, 6), [6, 4, 5, 2, 2, "softmax"])


@task("DeepSeekMoE")
@weight(2)
def test_sigmoid_with_a_bias(student, reference, seed):
    """With sigmoid the choice knows the bias, and the weights of the chosen sum to 1."""
    same_fine_layer(
        student, reference, fine_weights(seed, bias=True), normal(seed, 2, 6, 6), [6, 4, 5, 2, 2, "sigmoid"]
    )


@task("DeepSeekMoE")
@needs("test_chosen_experts_keep_their_probabilities")
def test_without_shared_experts(student, reference, seed):
    """With n_shared = 0 only the routed experts speak."""
    same_fine_layer(student, reference, fine_weights(seed, shared=0), normal(seed, 2, 6, 6), [6, 4, 5, 0, 1, "softmax"])


@task("DeepSeekMoE")
@needs("test_chosen_experts_keep_their_probabilities")
@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_gradients_of_all_parts(student, reference, seed, score):
    """Gate, routed and shared experts get the gradients of the output."""
    asked = (fine_weights(seed, bias=score == "sigmoid"), normal(seed, 2, 6, 6), [6, 4, 5, 2, 2, score])
    asked = (*asked, normal(seed + 1, 2, 6, 6))
    student.ask(deepseek_gradients, *asked).equals(reference.ask(deepseek_gradients, *asked).value, **PRODUCTS)


@task("DeepSeekMoE")
@needs("test_chosen_experts_keep_their_probabilities")
def test_what_cannot_be_made(student):
    """Another score, and a top_k outside of 1 to n_routed, are refused."""
    student.DeepSeekMoE(6, 4, 5, 2, 2, "tanh").refused()
    student.DeepSeekMoE(6, 4, 5, 2, 0).refused()
    student.DeepSeekMoE(6, 4, 5, 2, 6).refused()


# ------------------------------------------------------------------------------------------------------------ train_moe


def start(seed):
    """Weights of a layer with 8 experts of width 32 on 16 numbers."""
    return {name: w / w.shape[-1] ** 0.5 for name, w in layer_weights(seed, D=16, F=32, E=8).items()}


@task("train_moe")
def test_every_batch_once(student, seed):
    """Batches 0, 1, 2, ... are asked for, each once, the layer moves and comes back in eval mode."""
    steps, before = 5 + seed % 4, start(seed)
    found = student.ask(train, before, 1.25, seed, steps).value
    assert found["asked"] == list(range(steps)), "Other batches were asked for than 0, 1, 2, ..., each once."
    assert not found["training"], "The layer should come back in eval mode."
    after = student.ask(trained_weights).value
    for name, weights in before.items():
        assert 0 < (after[name] - weights).abs().max() < 1, f"The {name} did not move, or jumped."


def measured(weights, x, y, factor=1.25):
    """How full the fullest expert is over the mean, and the error over the variance of y, by the grader's own layer."""
    tokens, truth = x[0], y[0]  # (T, D) each
    gate, expert = (tokens @ weights["router"].T).softmax(1).max(1)  # (T,) each
    load = torch.bincount(expert, minlength=len(weights["router"]))  # (E,)
    seats = -(-int(factor * len(tokens)) // len(load))
    out = torch.zeros_like(truth)
    for i in range(len(load)):
        here = (expert == i).nonzero()[:, 0][:seats]
        out[here] = gate[here, None] * (torch.relu(tokens[here] @ weights["w_in"][i].T) @ weights["w_out"][i].T)
    return (load.max() / load.float().mean()).item(), ((out - truth).square().mean() / truth.var()).item()


@task("train_moe")
@weight(3)
@needs("test_every_batch_once")
@graded_run(cpu_seconds=40)
def test_the_load_is_even_and_the_error_small(student, run):
    """On new points the fullest expert has at most twice the mean load, and the error is at most 0.22 of the variance."""
    given = start(run.seed)
    student.ask(train, given, 1.25, run.seed, 400)
    weights = student.ask(trained_weights).value
    assert isinstance(weights, dict), "The trained weights should come by name."
    for name, tensor in given.items():
        right = name in weights and weights[name].shape == tensor.shape and bool(weights[name].isfinite().all())
        assert right, f"The trained {name} is missing, has another shape or is not finite."
    fullest, error = measured(weights, *Clusters(run.seed).points(4096, 10**7 + run.seed))
    # The load comes last: it is the figure that mistakes are held against.
    run.figures.append(Figure("squared error over the variance", error, 0.22))
    run.reaches("mean load over that of the fullest expert", 1 / fullest, at_least=0.5)
    if not error <= 0.22:
        raise Missed(f"The squared error is {error:.3f} of the variance; at most 0.22 is allowed.")
