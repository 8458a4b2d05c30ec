"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too: a gradient of zero flows
nowhere, and a policy that was never trained obeys its budget. What the policy's interface promises counts once it plays.
"""

import gymnasium
import pytest
import torch
from asks import (
    act,
    gradient_for_each_arm,
    log_probs_and_gradient,
    loss_and_gradients,
    short_training,
    train,
)

from autograder.testing import graded_run, needs, task, weight
from autograder.testing.worlds import World

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: longer sums, and differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits; the sums here have about ten terms

T, N, A = 11, 3, 5


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def whole(seed, high, *shape):
    """Whole numbers, 0 <= n < high."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed + 1000))


# --------------------------------------------------------------------------------------------------- discounted_returns


def by_sums(rewards, dones, gamma):
    """The definition, written out: for each step, every later reward of its own episode with its own power of gamma."""
    G = torch.zeros_like(rewards)
    columns = rewards.reshape(len(rewards), -1).shape[1]
    flat_r, flat_d, flat_G = (x.reshape(len(rewards), columns) for x in (rewards, dones, G))
    for n in range(columns):
        for t in range(len(rewards)):
            for k in range(t, len(rewards)):
                flat_G[t, n] += gamma ** (k - t) * flat_r[k, n]
                if flat_d[k, n]:
                    break
    return G


def endings(seed, *shape):
    """Dones with endings in the middle, two of them in a row in the first column, and the last row still running."""
    dones = torch.rand(*shape, generator=torch.Generator().manual_seed(seed + 2000)) < 0.15
    column = dones if dones.ndim == 1 else dones[:, 0]
    column[:] = False
    column[3 + seed % 3] = column[4 + seed % 3] = True
    dones[-1] = False
    return dones


@task("discounted_returns")
def test_one_episode(student, seed):
    """In a single episode, each step earns its own reward and the discounted ones after it."""
    rewards, dones = numbers(seed)(T), torch.arange(T) == T - 1
    student.discounted_returns(rewards, dones, 0.8).equals(by_sums(rewards, dones, 0.8), **FLOAT64)


@task("discounted_returns")
@weight(2)
def test_returns_stop_at_endings(student, seed):
    """A return stops where dones says that its own step's episode ended; the next episode begins afresh."""
    rewards, dones = numbers(seed)(T), endings(seed, T)
    student.discounted_returns(rewards, dones, 0.8).equals(by_sums(rewards, dones, 0.8), **FLOAT64)


@task("discounted_returns")
@weight(2)
def test_columns_are_environments(student, seed):
    """In a rollout (T, N), time runs along the first axis, and each environment has endings of its own."""
    rewards, dones = numbers(seed)(T, N), endings(seed, T, N)
    student.discounted_returns(rewards, dones, 0.8).equals(by_sums(rewards, dones, 0.8), **FLOAT64)


@task("discounted_returns")
@needs("test_one_episode")
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_no_future_and_no_discount(student, seed, gamma):
    """Gamma 0 leaves the rewards as they are, gamma 1 adds them up."""
    rewards, dones = numbers(seed)(T, N), endings(seed, T, N)
    student.discounted_returns(rewards, dones, gamma).equals(by_sums(rewards, dones, gamma), **FLOAT64)


@task("discounted_returns")
def test_float32_and_dones_as_numbers(student, seed):
    """Rewards in float32 give returns in float32, and dones may be zeros and ones."""
    rewards, dones = numbers(seed, torch.float32)(T, N), endings(seed, T, N)
    expected = by_sums(rewards.double(), dones, 0.8).float()
    student.discounted_returns(rewards, dones.float(), 0.8).equals(expected, **FLOAT32)


@task("discounted_returns")
@needs("test_returns_stop_at_endings")
def test_no_steps_give_an_empty_answer(student, seed):
    """No steps give no returns, in the same shape."""
    width = 1 + seed % 4
    for nothing in (torch.zeros(0, dtype=torch.float64), torch.zeros(0, width, dtype=torch.float64)):
        student.discounted_returns(nothing, nothing.bool(), 0.8).equals(nothing)


@task("discounted_returns")
@needs("test_returns_stop_at_endings")
def test_dones_of_another_shape_are_refused(student, seed):
    """Dones of another shape are refused: a column, a row, or one step too many."""
    rewards = numbers(seed)(T)
    student.discounted_returns(rewards, torch.zeros(T, 1, dtype=torch.bool), 0.8).refused()
    student.discounted_returns(rewards, torch.zeros(T + 1, dtype=torch.bool), 0.8).refused()
    student.discounted_returns(rewards[:, None], torch.zeros(T, dtype=torch.bool), 0.8).refused()


# ------------------------------------------------------------------------------------------------- categorical_log_prob


@task("categorical_log_prob")
@weight(2)
@pytest.mark.parametrize("leading", [(7,), (4, 3)])
def test_log_probs_of_the_actions_taken(student, reference, seed, leading):
    """Each action gets its own log-probability, and its gradient, over any leading axes."""
    draw = numbers(seed)
    logits, actions, cotangent = 2 * draw(*leading, A), whole(seed, A, *leading), draw(*leading)
    expected = reference.ask(log_probs_and_gradient, logits, actions, cotangent)
    student.ask(log_probs_and_gradient, logits, actions, cotangent).equals(expected, **GRADIENT)


@task("categorical_log_prob")
@needs("test_log_probs_of_the_actions_taken")
def test_probabilities_sum_to_one(student, seed):
    """Over all actions of one observation, the probabilities sum to one; adding a number to its logits does nothing."""
    logits = 2 * numbers(seed)(A)
    each = student.categorical_log_prob(logits.expand(A, A), torch.arange(A)).value
    shifted = student.categorical_log_prob(logits.expand(A, A) + 7, torch.arange(A)).value
    assert torch.allclose(each.exp().sum(), torch.tensor(1.0, dtype=torch.float64), **FLOAT64), "They do not."
    assert torch.allclose(each, shifted, **FLOAT64), "Adding a number to all logits changed the probabilities."


@task("categorical_log_prob")
def test_logits_of_ten_thousand(student, reference, seed):
    """Logits of ten thousand give finite log-probabilities, in float32 too."""
    logits, actions = 1e4 * numbers(seed)(7, A), whole(seed, A, 7)
    student.categorical_log_prob(logits, actions).equals(reference.categorical_log_prob(logits, actions), **FLOAT64)
    logits = logits.float()
    student.categorical_log_prob(logits, actions).equals(reference.categorical_log_prob(logits, actions), **FLOAT32)


@task("categorical_log_prob")
@needs("test_log_probs_of_the_actions_taken")
def test_actions_of_another_shape_are_refused(student, seed):
    """Actions that are no (...) for logits (..., A) are refused, a column (N, 1) too."""
    logits, actions = numbers(seed)(A, A), whole(seed, A, A)
    student.categorical_log_prob(logits, actions[:, None]).refused()
    student.categorical_log_prob(logits, actions[:-1]).refused()
    student.categorical_log_prob(logits, actions[0]).refused()


@task("categorical_log_prob")
@needs("test_log_probs_of_the_actions_taken")
def test_actions_that_do_not_exist_are_refused(student, seed):
    """An action below 0, or A and above, is refused."""
    logits, actions = numbers(seed)(7, A), whole(seed, A, 7)
    for wrong in (-1, A):
        some = actions.clone()
        some[seed % 7] = wrong
        student.categorical_log_prob(logits, some).refused()


# ------------------------------------------------------------------------------------------------------- reinforce_loss


@task("reinforce_loss")
@weight(2)
@pytest.mark.parametrize("shape", [(7,), (4, 3)])
def test_loss_and_gradient_without_a_baseline(student, reference, seed, shape):
    """Without a baseline, each step's log-probability is weighted by its return; nothing flows into the returns."""
    draw = numbers(seed)
    logp, returns = -draw(*shape).exp(), 3 + 2 * draw(*shape)
    expected = reference.ask(loss_and_gradients, logp, returns)
    student.ask(loss_and_gradients, logp, returns).equals(expected, **GRADIENT)


@task("reinforce_loss")
@weight(2)
@pytest.mark.parametrize("kind", ["a number", "without axes", "for each step"])
def test_loss_and_gradient_with_a_baseline(student, reference, seed, kind):
    """A baseline is subtracted from the returns, be it one number or one for each step; nothing flows into it."""
    draw = numbers(seed)
    logp, returns = -draw(4, 3).exp(), 3 + 2 * draw(4, 3)
    baseline = {"a number": 1.5 + seed % 3, "without axes": 2 + draw(1)[0], "for each step": 2 + draw(4, 3)}[kind]
    expected = reference.ask(loss_and_gradients, logp, returns, baseline)
    student.ask(loss_and_gradients, logp, returns, baseline).equals(expected, **GRADIENT)


def bandit(seed, offset=0.0):
    """Logits, probabilities and rewards of a bandit with A arms; no arm is hopeless and none is certain."""
    draw = numbers(seed)
    logits = 0.7 * draw(A)
    return logits, logits.softmax(-1), offset + draw(A)


@task("reinforce_loss")
@needs("test_loss_and_gradient_without_a_baseline")
@pytest.mark.parametrize("baseline", [None, -3.0, 12.0])
def test_right_on_average_with_any_baseline(student, seed, baseline):
    """On a bandit whose arms are all counted, the mean of the estimates is the exact gradient, whatever the baseline."""
    logits, p, rewards = bandit(seed)
    exact = -p * (rewards - (p * rewards).sum())  # gradient of minus the expected reward
    rows = student.ask(gradient_for_each_arm, logits, rewards, baseline).value
    mean = (p[:, None] * rows).sum(0)
    assert torch.allclose(mean, exact, rtol=1e-9, atol=1e-9), "The mean of the estimates is not the exact gradient."


@task("reinforce_loss")
@needs("test_loss_and_gradient_with_a_baseline")
def test_a_baseline_makes_it_scatter_less(student, seed):
    """Where all rewards lie around 10, the mean reward as a baseline makes the estimates scatter less."""
    logits, p, rewards = bandit(seed, offset=10.0)
    scatter = []
    for baseline in (None, float((p * rewards).sum())):
        rows = student.ask(gradient_for_each_arm, logits, rewards, baseline).value
        mean = (p[:, None] * rows).sum(0)
        scatter.append(float((p[:, None] * (rows - mean).square()).sum()))
    assert scatter[1] < 0.5 * scatter[0], "With the mean reward as baseline, the estimates scatter as much or more."


@task("reinforce_loss")
@needs("test_loss_and_gradient_without_a_baseline")
def test_the_batch_size_does_not_matter(student, seed):
    """The same steps twice over give the same loss, and half the gradient for each of them."""
    draw = numbers(seed)
    logp, returns = -draw(7).exp(), 3 + 2 * draw(7)
    once = student.ask(loss_and_gradients, logp, returns).value
    twice = student.ask(loss_and_gradients, logp.repeat(2), returns.repeat(2)).value
    assert torch.allclose(once["loss"], twice["loss"], **FLOAT64), "A batch of twice the size has another loss."
    assert torch.allclose(once["logp"], 2 * twice["logp"][:7], **GRADIENT), "The step grows with the batch."


@task("reinforce_loss")
def test_float32_stays(student, reference, seed):
    """In float32 the loss is float32, with a number as baseline too."""
    draw = numbers(seed, torch.float32)
    logp, returns = -draw(7).exp(), 3 + 2 * draw(7)
    student.reinforce_loss(logp, returns, 2.5).equals(reference.reinforce_loss(logp, returns, 2.5), **FLOAT32)


@task("reinforce_loss")
@needs("test_loss_and_gradient_with_a_baseline")
def test_shapes_that_differ_are_refused(student, seed):
    """A column of returns is refused, and so is a baseline that is neither one number nor one for each step."""
    draw = numbers(seed)
    logp, returns = -draw(7).exp(), draw(7)
    student.reinforce_loss(logp, returns[:, None]).refused()
    student.reinforce_loss(logp[:, None], returns).refused()
    student.reinforce_loss(logp, returns[:1]).refused()
    student.reinforce_loss(logp, returns, draw(7, 1)).refused()
    student.reinforce_loss(logp.expand(3, 7), returns.expand(3, 7), draw(7)).refused()


# ------------------------------------------------------------------------------------------------------------ normalize


@task("normalize")
@weight(2)
@pytest.mark.parametrize("shape", [(9,), (4, 3), (2, 3, 4)])
def test_over_all_entries(student, reference, seed, shape):
    """Mean and spread are those of all entries together, and the spread divides by n - 1."""
    x = 5 + 3 * numbers(seed)(*shape)
    student.normalize(x).equals(reference.normalize(x), **FLOAT64)


@task("normalize")
@needs("test_over_all_entries")
def test_mean_zero_and_spread_one(student, seed):
    """The answer has mean 0 and spread 1, and does not notice a shift or a positive scale."""
    x = 5 + 3 * numbers(seed)(4, 3)
    y, moved = student.normalize(x).value, student.normalize(100 - 7 + 20 * x).value
    assert abs(float(y.mean())) < 1e-12, "The mean is not 0."
    # eps is 1e-8 of a spread of about 3
    assert abs(float(y.std()) - 1) < 1e-7, "The spread is not 1."
    assert torch.allclose(y, moved, rtol=1e-6, atol=1e-7), "Shifting and scaling changed the answer."


@task("normalize")
def test_two_entries(student, reference, seed):
    """With two entries, n - 1 is one: they become plus and minus the root of a half."""
    x = numbers(seed)(2) + torch.tensor([0.0, 5.0])
    student.normalize(x).equals(reference.normalize(x), **FLOAT64)


@task("normalize")
@pytest.mark.parametrize("eps", [0.5, 20.0])
def test_eps_is_added_to_the_spread(student, reference, seed, eps):
    """An eps that can be seen is added to the spread itself, be it smaller than the spread or larger."""
    x = 5 + 3 * numbers(seed)(4, 3)
    student.normalize(x, eps).equals(reference.normalize(x, eps), **FLOAT64)


@task("normalize")
@needs("test_over_all_entries")
def test_equal_entries_give_zeros(student, seed):
    """Entries that are all alike become zeros."""
    for shape in ((6,), (4, 3)):
        x = torch.full(shape, 0.5 * (seed % 9) + 1, dtype=torch.float64)  # exact in binary: rounding is not the lesson
        student.normalize(x).equals(torch.zeros(shape, dtype=torch.float64))


@task("normalize")
@needs("test_over_all_entries")
def test_a_single_entry_gives_zero(student, seed):
    """A single entry becomes 0, in any shape."""
    x = numbers(seed)(1)
    student.normalize(x).equals(torch.zeros(1, dtype=torch.float64))
    student.normalize(x[None]).equals(torch.zeros(1, 1, dtype=torch.float64))


@task("normalize")
@needs("test_over_all_entries")
def test_nothing_is_refused(student, seed):
    """An empty tensor is refused."""
    student.normalize(torch.zeros(0)).refused()
    student.normalize(torch.zeros(0, 1 + seed % 3)).refused()


# ------------------------------------------------------------------------------------------------------ train_reinforce

SHORT = 3_000


def observations(dims=4):
    """Some observations to ask a policy about."""
    return numbers(12)(9, dims).float()


@task("train_reinforce")
@needs("test_the_pole_stands")
def test_it_acts_by_its_log_probs(student):
    """Log-probabilities sum to one in each row; act chooses the likeliest action, and chooses it again."""
    answer = student.ask(short_training, SHORT, 1, observations()).value
    log_probs = answer["log_probs"]
    assert log_probs.shape == (9, 2), "log_probs(obs) should have one row for each observation, one column an action."
    # float32: seven digits
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(9, dtype=log_probs.dtype), atol=1e-5), "A row does not."
    assert answer["act"].dtype == torch.int64, "Actions should be int64."
    assert torch.equal(answer["act"], log_probs.argmax(-1)), "act does not choose the likeliest action."
    assert torch.equal(answer["act"], answer["again"]), "Asked twice, act gave two answers."


@task("train_reinforce")
@needs("test_the_pole_stands")
def test_one_seed_one_policy(student):
    """Trained twice with one seed, the policy answers the same."""
    first = student.ask(short_training, SHORT, 5, observations()).value
    second = student.ask(short_training, SHORT, 5, observations()).value
    # the same operations in the same order; the tolerance allows for threads that add up in another one
    assert torch.allclose(first["log_probs"], second["log_probs"], atol=1e-5), "Two trainings with one seed differ."


@task("train_reinforce")
@needs("test_the_pole_stands")
@pytest.mark.parametrize("steps", [7, 1_733])
def test_the_budget_is_kept(student, steps):
    """Of 1,733 steps no more are taken, and of 7 too, and a policy comes back."""
    answer = student.ask(short_training, steps, 2, observations()).value
    assert answer["used"] <= steps, "More steps were taken than the budget allows."
    assert answer["act"].shape == (9,), "act(obs) should give one action for each observation."


@task("train_reinforce")
@weight(3)
@graded_run(cpu_seconds=120)
def test_the_pole_stands(student, run):
    """After 100,000 steps, 20 greedy episodes of CartPole in disguise last 400 steps or more on average."""
    world = World(run, lambda: gymnasium.make("CartPole-v1"), budget=100_000, disguised=True)
    student.ask(train, world.served(), 100_000, run.seed)
    returns = world.returns(lambda seen: student.ask(act, seen).value, episodes=20)
    run.reaches("mean return of 20 greedy episodes", float(returns.mean()), at_least=400)
