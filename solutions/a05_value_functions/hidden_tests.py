"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Worlds are drawn from `seed` alone, with sizes that are all different. What q_learning has learned is computed from the
probabilities of the world itself, which only the grader has.
"""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from asks import cliff_learning, many_episodes, rail_learning, train

from autograder.testing import graded_run, needs, task, weight
from autograder.testing.worlds import World

# Tolerances, each with its reason.
STEP = {"rtol": 1e-9, "atol": 1e-12}  # float64: a few sums in another order
SOLVED = {"atol": 1e-8}  # a residual of 1e-10 leaves an error of 1e-10 / (1 - gamma), and gamma stays below 0.96
SWEPT = {"rtol": 1e-9, "atol": 1e-11}  # float64 sums over a handful of sweeps

S, A = 6, 3


def draws(seed):
    """A generator: the same numbers for the same seed."""
    return torch.Generator().manual_seed(seed)


def some_world(seed, states=S, actions=A):
    """P (S, A, S) uneven but dense, R (S, A) normal, pi (S, A) uneven."""
    draw = draws(seed)
    P = torch.rand(states, actions, states, generator=draw, dtype=torch.float64) ** 3 + 0.01
    R = torch.randn(states, actions, generator=draw, dtype=torch.float64)
    pi = torch.rand(states, actions, generator=draw, dtype=torch.float64) ** 2 + 0.05
    return P / P.sum(-1, keepdim=True), R, pi / pi.sum(-1, keepdim=True)


def some_gamma(seed, low=0.6, high=0.95):
    return low + (high - low) * float(torch.rand((), generator=draws(seed + 500)))


def solved(P, R, pi, gamma):
    """The value of pi, from the linear equations."""
    P_pi = torch.einsum("sa,sat->st", pi, P)
    return torch.linalg.solve(torch.eye(len(R), dtype=P.dtype) - gamma * P_pi, (pi * R).sum(1))


def tables_of(env):
    """P (S, A, S) and R (S, A) of a gymnasium world that knows its own probabilities."""
    states, actions = int(env.observation_space.n), int(env.action_space.n)
    P, R = torch.zeros(states, actions, states, dtype=torch.float64), torch.zeros(states, actions, dtype=torch.float64)
    for s, a in itertools.product(range(states), range(actions)):
        for probability, s_next, reward, _ in env.unwrapped.P[s][a]:
            P[s, a, s_next] += probability
            R[s, a] += probability * reward
    return P, R


# ---------------------------------------------------------------------------------------------------- policy_evaluation


@task("policy_evaluation")
@weight(3)
def test_values_solve_the_linear_equations(student, seed):
    """The values of a stochastic policy in a random world solve the Bellman equations."""
    P, R, pi = some_world(seed)
    gamma = some_gamma(seed)
    student.policy_evaluation(P, R, pi, gamma).equals(solved(P, R, pi, gamma), **SOLVED)


@task("policy_evaluation")
def test_without_discounted_future_only_the_next_reward(student, seed):
    """With gamma 0 a state is worth its mean next reward."""
    P, R, pi = some_world(seed, states=5, actions=4)
    student.policy_evaluation(P, R, pi, 0.0).equals((pi * R).sum(1), **SOLVED)


@task("policy_evaluation")
def test_a_long_view_is_followed_to_the_end(student, seed):
    """With a discount close to 1, values are still right: the equation is applied until nothing moves."""
    P, R, pi = some_world(seed, states=7, actions=2)
    # A mean reward of 1 makes all values about 100: what is left out of the sum shows.
    student.policy_evaluation(P, R + 1.0, pi, 0.99).equals(solved(P, R + 1.0, pi, 0.99), rtol=1e-9, atol=1e-7)


@task("policy_evaluation")
@needs("test_values_solve_the_linear_equations")
@pytest.mark.parametrize("tol", [1e-10, 1e-3])
def test_one_more_application_moves_nothing(student, seed, tol):
    """Applied once more to your values, the Bellman equation moves none of them by more than tol."""
    P, R, pi = some_world(seed, states=5, actions=2)
    V = student.policy_evaluation(P, R, pi, 0.9, tol).value
    again = (pi * (R + 0.9 * P @ V)).sum(1)
    assert (again - V).abs().max() <= tol + 1e-12, "A value moves by more than tol."


@task("policy_evaluation")
@needs("test_values_solve_the_linear_equations")
def test_values_are_linear_in_rewards(student, seed):
    """Twice the rewards are worth twice as much, and the values of two rewards add up."""
    P, R, pi = some_world(seed)
    other = some_world(seed + 7)[1]
    first, second, both = (student.policy_evaluation(P, r, pi, 0.8).value for r in (R, other, 2 * R + other))
    assert (2 * first + second - both).abs().max() <= 1e-7, "The values of a sum are not the sum of the values."


@task("policy_evaluation")
@needs("test_values_solve_the_linear_equations")
def test_the_frozen_lake(student, seed):
    """On the frozen lake, with its probabilities and its terminal states, every value is right."""
    P, R = tables_of(gymnasium.make("FrozenLake-v1"))
    pi = torch.rand(16, 4, generator=draws(seed), dtype=torch.float64) + 0.05
    pi = pi / pi.sum(1, keepdim=True)
    student.policy_evaluation(P, R, pi, 0.95).equals(solved(P, R, pi, 0.95), **SOLVED)


@task("policy_evaluation")
@needs("test_values_solve_the_linear_equations")
def test_rows_that_are_no_probabilities_are_refused(student, seed):
    """Rows of P or pi that do not sum to 1 are refused."""
    P, R, pi = some_world(seed)
    row = seed % S
    leaky, greedy = P.clone(), pi.clone()
    leaky[row, 0] *= 0.98
    greedy[row] *= 1.03
    student.policy_evaluation(leaky, R, pi, 0.9).refused()
    student.policy_evaluation(P, R, greedy, 0.9).refused()


@task("policy_evaluation")
@needs("test_values_solve_the_linear_equations")
def test_a_discount_outside_its_range_is_refused(student, seed):
    """A discount of 1, above it, or below 0 is refused."""
    P, R, pi = some_world(seed)
    for gamma in (1.0, 1.2, -0.1):
        student.policy_evaluation(P, R, pi, gamma).refused()


# ------------------------------------------------------------------------------------------------------ value_iteration


def best_by_enumeration(P, R, gamma):
    """The optimal values: the best of all deterministic policies, each solved exactly."""
    states, actions = R.shape
    policies = torch.tensor(list(itertools.product(range(actions), repeat=states)))
    values = [solved(P, R, torch.nn.functional.one_hot(p, actions).to(P.dtype), gamma) for p in policies]
    return torch.stack(values).max(0).values


@task("value_iteration")
@weight(2)
def test_values_are_the_best_of_all_policies(student, reference, seed):
    """The values are those of the best of all policies, and the policy chooses the best action in each state."""
    P, R, _ = some_world(seed, states=4, actions=3)
    gamma = some_gamma(seed)
    _, policy = reference.value_iteration(P, R, gamma).value
    student.value_iteration(P, R, gamma).equals([best_by_enumeration(P, R, gamma), policy], **SOLVED)


@task("value_iteration")
@weight(2)
@pytest.mark.parametrize("sweeps", [0, 1, 2, 5])
def test_exactly_so_many_sweeps(student, reference, seed, sweeps):
    """After k synchronous sweeps from zero, values are the most that k steps can bring; the policy is greedy in them."""
    P, R, _ = some_world(seed, states=5, actions=4)
    truth = reference.value_iteration(P, R, 0.9, sweeps=sweeps)
    student.value_iteration(P, R, 0.9, sweeps=sweeps).equals(truth, **SWEPT)


@task("value_iteration")
def test_the_policy_answers_to_the_values_returned(student, seed):
    """The policy is greedy in the very values that are returned, also where one sweep changes everything."""
    # Action 0 pays 1 to stay, action 1 pays less but leads to a rich state: the first sweep does not know it yet.
    rich, little = 2 + seed % 5, 0.1 * (1 + seed % 7)
    P, R = torch.zeros(3, 2, 3, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    P[0, 0, 0] = P[0, 1, 1] = P[1, 0, 1] = P[1, 1, 2] = P[2, :, 2] = 1.0
    R[0] = torch.tensor([1.0, little])
    R[1] = torch.tensor([float(rich) + 1, 0.0])
    V = torch.tensor([1.0, rich + 1.0, 0.0], dtype=torch.float64)
    student.value_iteration(P, R, 0.9, sweeps=1).equals([V, torch.tensor([1, 0, 0])], **SWEPT)


@task("value_iteration")
@needs("test_values_are_the_best_of_all_policies")
def test_its_own_policy_is_worth_its_values(student, seed):
    """The policy, followed for ever, is worth exactly the values."""
    P, R, _ = some_world(seed, states=7, actions=4)
    V, policy = student.value_iteration(P, R, 0.9).value
    own = solved(P, R, torch.nn.functional.one_hot(policy, 4).to(P.dtype), 0.9)
    assert (own - V).abs().max() <= 1e-8, "The policy is not worth what the values say."


@task("value_iteration")
@needs("test_exactly_so_many_sweeps")
def test_each_sweep_comes_closer(student, seed):
    """Each sweep brings the values closer to the optimal ones, by at least the factor gamma."""
    P, R, _ = some_world(seed, states=5, actions=2)
    best = student.value_iteration(P, R, 0.8).value[0]
    gaps = [float((student.value_iteration(P, R, 0.8, sweeps=k).value[0] - best).abs().max()) for k in range(5)]
    assert all(after <= 0.8 * before + 1e-8 for before, after in itertools.pairwise(gaps)), "A sweep gained too little."


@task("value_iteration")
@needs("test_values_are_the_best_of_all_policies")
def test_nearly_equal_actions_give_the_lowest_index(student, seed):
    """Among actions within 1e-9 of the best, the lowest index is taken; a real difference counts."""
    P, R, _ = some_world(seed, states=5, actions=1)
    P, R = P.expand(5, 4, 5).clone(), R.expand(5, 4).clone()
    R[:, 0] -= 0.1  # action 0 is worse, 1 and 2 are as good as equal, 3 is better by a rounding error only
    R[:, 3] += 1e-12
    _, policy = student.value_iteration(P, R, 0.5).value
    assert policy.tolist() == [1] * 5, "Not the lowest index among equals."


@task("value_iteration")
@needs("test_values_are_the_best_of_all_policies")
def test_value_iteration_refuses_bad_discounts(student, seed):
    """A discount of 1, above it, or below 0 is refused."""
    P, R, _ = some_world(seed)
    for gamma in (1.0, 1.5, -0.2):
        student.value_iteration(P, R, gamma).refused()


# ----------------------------------------------------------------------------------------------------------- td0_update


def some_table(seed, *shape):
    """Values between 1 and 3 in size, of both signs: no entry is near zero."""
    draw = draws(seed + 900)
    sizes = 1 + 2 * torch.rand(*shape, generator=draw, dtype=torch.float64)
    return sizes * (torch.randint(0, 2, shape, generator=draw) * 2 - 1)


def some_step(seed):
    """A state, another state, a reward between 1 and 2, a step size and a discount."""
    u = torch.rand(3, generator=draws(seed + 300), dtype=torch.float64).tolist()
    s = seed % S
    return s, (s + 1 + seed % (S - 1)) % S, 1 + u[0], 0.1 + 0.4 * u[1], 0.5 + 0.4 * u[2]


@task("td0_update")
@weight(2)
def test_one_step_moves_one_state(student, reference, seed):
    """The state that was left moves towards reward plus discounted value of the next; nothing else moves."""
    V, (s, s_next, r, alpha, gamma) = some_table(seed, S), some_step(seed)
    truth = reference.td0_update(V, s, r, s_next, False, alpha, gamma)
    student.td0_update(V, s, r, s_next, False, alpha, gamma).equals(truth, **STEP)


@task("td0_update")
@weight(2)
def test_nothing_comes_after_a_terminal_state(student, reference, seed):
    """When the world ended, the table's entry of the last state is not read."""
    V, (s, s_next, r, alpha, gamma) = some_table(seed, S), some_step(seed)
    truth = reference.td0_update(V, s, r, s_next, True, alpha, gamma)
    student.td0_update(V, s, r, s_next, True, alpha, gamma).equals(truth, **STEP)


@task("td0_update")
def test_a_step_may_return_to_its_state(student, reference, seed):
    """A step from a state to itself is like any other."""
    V, (s, _, r, alpha, gamma) = some_table(seed, S), some_step(seed)
    student.td0_update(V, s, r, s, False, alpha, gamma).equals(
        reference.td0_update(V, s, r, s, False, alpha, gamma), **STEP
    )


@task("td0_update")
@needs("test_one_step_moves_one_state")
def test_step_sizes_zero_and_one(student, reference, seed):
    """A step size of 0 changes nothing; a step size of 1 puts the target in place of the old value."""
    V, (s, s_next, r, _, gamma) = some_table(seed, S), some_step(seed)
    student.td0_update(V, s, r, s_next, False, 0.0, gamma).equals(V, **STEP)
    student.td0_update(V, s, r, s_next, False, 1.0, gamma).equals(
        reference.td0_update(V, s, r, s_next, False, 1.0, gamma), **STEP
    )


@task("td0_update")
@needs("test_one_step_moves_one_state")
def test_true_values_stay_on_average(student, seed):
    """At the true values, the updates over all next states, weighted by their probabilities, cancel."""
    P, R, _ = some_world(seed, states=5, actions=1)
    V = solved(P, R, torch.ones(5, 1, dtype=torch.float64), 0.8)
    s = seed % 5
    moved = [student.td0_update(V, s, float(R[s, 0]), s_next, False, 0.3, 0.8).value[s] for s_next in range(5)]
    assert abs(float(P[s, 0] @ torch.stack(moved)) - float(V[s])) <= 1e-9, "The mean update is not zero."


@task("td0_update")
@needs("test_one_step_moves_one_state")
def test_unknown_states_are_refused(student, seed):
    """A state below 0 or beyond the table is refused, and so is a discount of 1."""
    V, (s, s_next, r, alpha, gamma) = some_table(seed, S), some_step(seed)
    for here, there in ((S, s_next), (-1, s_next), (s, S + 1), (s, -2)):
        student.td0_update(V, here, r, there, False, alpha, gamma).refused()
    student.td0_update(V, s, r, s_next, False, alpha, 1.0).refused()


# ------------------------------------------------------------------------------------------------------------ td_lambda


def some_episode(seed, steps=12):
    """States of which all come more than once, never twice in a row, and rewards."""
    draw = draws(seed + 600)
    states = [int(torch.randint(0, 4, (), generator=draw))]
    while len(states) <= steps:
        states.append((states[-1] + 1 + int(torch.randint(0, 3, (), generator=draw))) % 4)
    return torch.tensor(states), torch.randn(steps, generator=draw, dtype=torch.float64) + 0.5


@task("td_lambda")
@weight(3)
def test_an_episode_with_states_met_again(student, reference, seed):
    """An episode that meets its states several times and ends the world gives the table of the online backward view."""
    V, (states, rewards) = some_table(seed, 5), some_episode(seed)
    truth = reference.td_lambda(V, states, rewards, True, 0.2, 0.9, 0.8)
    student.td_lambda(V, states, rewards, True, 0.2, 0.9, 0.8).equals(truth, **STEP)


@task("td_lambda")
@weight(2)
def test_an_episode_that_time_cut_off(student, reference, seed):
    """Where only the clock ran out, the value of the last state counts."""
    V, (states, rewards) = some_table(seed, 5), some_episode(seed, steps=7)
    truth = reference.td_lambda(V, states, rewards, False, 0.3, 0.8, 0.7)
    student.td_lambda(V, states, rewards, False, 0.3, 0.8, 0.7).equals(truth, **STEP)


@task("td_lambda")
def test_a_state_that_leads_to_itself(student, reference, seed):
    """Traces accumulate also where a state is left for itself, several times."""
    V, rewards = some_table(seed, 4), some_episode(seed, steps=5)[1]
    states = torch.tensor([2, 2, 2, 1, 2, 3])
    truth = reference.td_lambda(V, states, rewards, True, 0.25, 0.9, 0.9)
    student.td_lambda(V, states, rewards, True, 0.25, 0.9, 0.9).equals(truth, **STEP)


@task("td_lambda")
@needs("test_an_episode_with_states_met_again")
def test_without_memory_it_is_td0(student, seed):
    """With lambda 0 it is td0 after td0 after td0."""
    V, (states, rewards) = some_table(seed, 5), some_episode(seed)
    chained = V.clone()
    for t, r in enumerate(rewards):
        s, s_next = states[t], states[t + 1]
        future = 0.0 if t == len(rewards) - 1 else 0.9 * chained[s_next]
        chained[s] = chained[s] + 0.2 * (r + future - chained[s])
    student.td_lambda(V, states, rewards, True, 0.2, 0.9, 0.0).equals(chained, **STEP)


@task("td_lambda")
@needs("test_an_episode_with_states_met_again")
def test_no_steps_no_change(student, seed):
    """An episode without a step gives the table back, ended or not."""
    V, nothing = some_table(seed, 5), torch.zeros(0, dtype=torch.float64)
    for terminated in (True, False):
        student.td_lambda(V, torch.tensor([seed % 5]), nothing, terminated, 0.2, 0.9, 0.5).equals(V)


@task("td_lambda")
@needs("test_an_episode_with_states_met_again")
def test_a_random_walk_is_learned(student, seed):
    """After 300 walks, the values of a random walk are close to the true ones."""
    draw, gamma = np.random.default_rng(seed), 0.9
    walks = [some_walk(draw) for _ in range(300)]
    V = student.ask(many_episodes, torch.zeros(7, dtype=torch.float64), walks, 0.03, gamma, 0.8).value
    P = torch.zeros(7, 1, 7, dtype=torch.float64)
    P[0, 0, 0] = P[6, 0, 6] = 1.0
    for s in range(1, 6):
        P[s, 0, s - 1] = P[s, 0, s + 1] = 0.5
    R = torch.zeros(7, 1, dtype=torch.float64)
    R[5, 0] = 0.5
    truth = solved(P, R, torch.ones(7, 1, dtype=torch.float64), gamma)
    # 300 walks at this step size leave a typical error of 0.03; zeros are 0.3 away.
    assert float((V - truth)[1:6].pow(2).mean().sqrt()) <= 0.1, "The values are far from those of the walk."


def some_walk(draw):
    """From the middle of 1 .. 5, left or right, until 0 (pays 0) or 6 (pays 1)."""
    states, rewards = [3], []
    while 0 < states[-1] < 6:
        states.append(states[-1] + (1 if draw.random() < 0.5 else -1))
        rewards.append(float(states[-1] == 6))
    return [torch.tensor(states), torch.tensor(rewards, dtype=torch.float64), True]


# ------------------------------------------------------------------------------------------------ sarsa_update, q_update


def some_choice(seed, actions=4):
    """Q (S, A), an action, and the next state's best and second best actions."""
    Q = some_table(seed, S, actions)
    s, s_next, r, alpha, gamma = some_step(seed)
    order = Q[s_next].argsort(descending=True).tolist()
    return Q, s, (seed // 3) % actions, r, s_next, order, alpha, gamma


@task("sarsa_update")
@weight(2)
def test_sarsa_learns_from_the_action_taken(student, reference, seed):
    """The target holds the action really taken next, here not the best one; only one entry moves."""
    Q, s, a, r, s_next, order, alpha, gamma = some_choice(seed)
    for a_next in order[1:]:
        truth = reference.sarsa_update(Q, s, a, r, s_next, a_next, False, alpha, gamma)
        student.sarsa_update(Q, s, a, r, s_next, a_next, False, alpha, gamma).equals(truth, **STEP)


@task("sarsa_update")
def test_sarsa_ends_at_the_end(student, reference, seed):
    """When the world ended, the table's row of the last state is not read."""
    Q, s, a, r, s_next, order, alpha, gamma = some_choice(seed)
    truth = reference.sarsa_update(Q, s, a, r, s_next, order[1], True, alpha, gamma)
    student.sarsa_update(Q, s, a, r, s_next, order[1], True, alpha, gamma).equals(truth, **STEP)


@task("sarsa_update")
@needs("test_sarsa_learns_from_the_action_taken")
def test_sarsa_onto_the_same_state(student, reference, seed):
    """A step may return to its state, and the next action may be the same one."""
    Q, s, a, r, _, _, alpha, gamma = some_choice(seed)
    for a_next in range(4):
        truth = reference.sarsa_update(Q, s, a, r, s, a_next, False, alpha, gamma)
        student.sarsa_update(Q, s, a, r, s, a_next, False, alpha, gamma).equals(truth, **STEP)


@task("q_update")
@weight(2)
def test_q_learns_from_the_best_next_action(student, reference, seed):
    """The target holds the best entry of the next state's row; only one entry moves."""
    Q, s, a, r, s_next, _, alpha, gamma = some_choice(seed)
    truth = reference.q_update(Q, s, a, r, s_next, False, alpha, gamma)
    student.q_update(Q, s, a, r, s_next, False, alpha, gamma).equals(truth, **STEP)


@task("q_update")
def test_q_ends_at_the_end(student, reference, seed):
    """When the world ended, the table's row of the last state is not read."""
    Q, s, a, r, s_next, _, alpha, gamma = some_choice(seed)
    truth = reference.q_update(Q, s, a, r, s_next, True, alpha, gamma)
    student.q_update(Q, s, a, r, s_next, True, alpha, gamma).equals(truth, **STEP)


@task("q_update")
@needs("test_q_learns_from_the_best_next_action")
def test_q_agrees_with_sarsa_on_the_best_action(student, reference, seed):
    """It equals Sarsa for an agent that takes the best action next, also where a step returns to its state."""
    Q, s, a, r, s_next, order, alpha, gamma = some_choice(seed)
    truth = reference.sarsa_update(Q, s, a, r, s_next, order[0], False, alpha, gamma)
    student.q_update(Q, s, a, r, s_next, False, alpha, gamma).equals(truth, **STEP)
    truth = reference.q_update(Q, s, a, r, s, False, alpha, gamma)
    student.q_update(Q, s, a, r, s, False, alpha, gamma).equals(truth, **STEP)


# ----------------------------------------------------------------------------------------------------------- q_learning


def some_rail(seed):
    """One action: 0 to 4, and from there to 1, where a test may let the episode end: that state has a value by then."""
    rewards = (0.5 + torch.rand(5, generator=draws(seed + 40), dtype=torch.float64)).tolist()
    return {"next": [1, 2, 3, 4, 1], "rewards": rewards, "ends": ["", "", "", "", ""], "start": 0}


@task("q_learning")
@weight(2)
@pytest.mark.parametrize("end", ["terminated", "truncated", "terminated and truncated"])
def test_a_world_without_choice(student, reference, seed, end):
    """With a single action nothing is left to chance: after so many steps the table has these values."""
    rail = some_rail(seed)
    rail["ends"][4] = end
    Q, _ = reference.ask(rail_learning, rail, 33, 0.3, 0.8, 0.2, seed).value
    learned = student.ask(rail_learning, rail, 33, 0.3, 0.8, 0.2, seed)
    learned.equals([Q, learned.value[1]], **STEP)


@task("q_learning")
@needs("test_a_world_without_choice")
def test_the_environment_is_seeded_once(student, seed):
    """The first reset gets the seed, all later ones get none."""
    rail = some_rail(seed)
    rail["ends"][2] = "terminated"
    _, seeds = student.ask(rail_learning, rail, 20, 0.3, 0.8, 0.2, seed).value
    assert seeds[0] == seed, "The first reset does not get the seed."
    assert all(later is None for later in seeds[1:]), "A later reset gets a seed: every episode has the same luck."


@task("q_learning")
@needs("test_a_world_without_choice")
def test_one_seed_one_table(student, seed):
    """The same seed gives the same table, whatever else has drawn random numbers before."""
    first = student.ask(cliff_learning, 400, seed, 1)
    student.ask(cliff_learning, 400, seed, 2).equals(first.value)


class Corridor(gymnasium.Env):
    """Six states in a row; action 0 stays, action 1 goes on; the last step pays 1 and ends the world."""

    observation_space = gymnasium.spaces.Discrete(6)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.here = 0
        return self.here, {}

    def step(self, action):
        self.here += int(action)
        arrived = self.here == 5
        return self.here, float(arrived), arrived, False, {}


class Loop(gymnasium.Env):
    """One state that pays 1; each episode is cut off after a step, by the clock or by the end of the world."""

    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, terminates):
        self.terminates = terminates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, self.terminates, not self.terminates, {}


def learned(student, run, make, steps, alpha, gamma, epsilon):
    """The table (S, A) that the student's agent learns in the grader's world, and the world."""
    world = World(run, make, budget=steps)
    Q = student.ask(train, world.served(curve=False), steps, alpha, gamma, epsilon, run.seed).value
    shaped = isinstance(Q, torch.Tensor) and Q.shape == (world.states, world.actions)
    assert shaped, "The answer is no table with a row for each state and a column for each action."
    return np.asarray(Q.to(torch.float64))


@task("q_learning")
@needs("test_a_world_without_choice")
@graded_run(cpu_seconds=20)
def test_probe_corridor(student, run):
    """Where the first action leads nowhere and nothing is explored, ties broken at random still find the goal."""
    Q = learned(student, run, Corridor, 500, 0.5, 0.5, 0.0)
    # Five steps, the last one pays 1: gamma^4 from the start, gamma^3 one step on.
    run.tells(
        "the value of the start, in units of its true value",
        [Q[0].max() * 16],
        [1.0],
        atol=0.1,
        mistakes={"ties_to_first": [0.0], "untrained": [0.0], "discounts_each_reward": [0.5]},
    )


@task("q_learning")
@needs("test_a_world_without_choice")
@graded_run(cpu_seconds=20)
def test_probe_loop(student, run):
    """A reward of 1 for ever, cut into episodes by a clock, is worth 2 at gamma one half."""
    Q = learned(student, run, lambda: Loop(terminates=False), 500, 0.1, 0.5, 0.1)
    run.tells(
        "the value of the loop",
        [Q[0, 0]],
        [2.0],
        atol=0.05,
        mistakes={"truncation_is_terminal": [1.0], "discounts_each_reward": [1.0], "untrained": [0.0]},
    )


@task("q_learning")
@needs("test_a_world_without_choice")
@graded_run(cpu_seconds=20)
def test_probe_ending(student, run):
    """A reward of 1 with which the world ends is worth 1, although the state shown afterwards has a value."""
    Q = learned(student, run, lambda: Loop(terminates=True), 500, 0.1, 0.5, 0.1)
    run.tells(
        "the value of the last step",
        [Q[0, 0]],
        [1.0],
        atol=0.05,
        mistakes={"bootstraps_at_the_end": [2.0], "discounts_each_reward": [0.5], "untrained": [0.0]},
    )


class Renamed(gymnasium.Wrapper):
    """The same world with other numbers for its states and actions: a table that was written by hand is of no use."""

    def __init__(self, env, seed):
        super().__init__(env)
        draw = np.random.default_rng([seed, 0x1CE])
        self.shown = draw.permutation(int(env.observation_space.n))  # true state -> the number that is shown
        self.meant = draw.permutation(int(env.action_space.n))  # the action that is named -> the true one

    def reset(self, *, seed=None, options=None):
        state, info = self.env.reset(seed=seed, options=options)
        return int(self.shown[state]), info

    def step(self, action):
        state, *rest = self.env.step(int(self.meant[action]))
        return int(self.shown[state]), *rest

    def worth(self, Q, steps=100):
        """The expected return of the greedy policy of Q over so many steps, from the world's own probabilities."""
        world = self.env.unwrapped
        actions = self.meant[Q.argmax(1)[self.shown]]  # for each true state
        at = {s: float(p) for s, p in enumerate(world.initial_state_distrib) if p > 0}
        total = 0.0
        for _ in range(steps):
            then = {}
            for s, share in at.items():
                for probability, s_next, reward, terminated in world.P[s][int(actions[s])]:
                    total += share * probability * reward
                    if not terminated:
                        then[s_next] = then.get(s_next, 0.0) + share * probability
            at = then
        return total


@task("q_learning")
@weight(2)
@needs("test_a_world_without_choice")
@graded_run(cpu_seconds=120)
def test_crosses_the_lake(student, run):
    """After 50,000 steps on the slippery lake, the greedy policy reaches the goal in half of all episodes or more."""

    def lake():
        return Renamed(gymnasium.make("FrozenLake-v1"), run.seed)

    Q = learned(student, run, lake, 50_000, 0.05, 0.99, 0.4)
    run.reaches("probability of reaching the goal", lake().worth(Q), at_least=0.5)


@task("q_learning")
@weight(2)
@needs("test_a_world_without_choice")
@graded_run(cpu_seconds=60)
def test_walks_along_the_cliff(student, run):
    """After 20,000 steps, the greedy policy takes the shortest way along the cliff: a return of -13."""

    def cliff():
        return Renamed(gymnasium.make("CliffWalking-v1"), run.seed)

    Q = learned(student, run, cliff, 20_000, 0.5, 0.99, 0.1)
    run.reaches("return of the greedy policy", cliff().worth(Q), at_least=-13)
