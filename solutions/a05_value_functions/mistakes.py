"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import random

import torch
from reference import check_gamma, policy_evaluation, q_learning, q_update, sarsa_update, td0_update, value_iteration

from autograder.testing import mistake

# ---------------------------------------------------------------------------------------------------- policy_evaluation


def _refuse_bad(P, pi, gamma):
    check_gamma(gamma)
    if ((P.sum(-1) - 1).abs() > 1e-6).any() or ((pi.sum(-1) - 1).abs() > 1e-6).any():
        raise ValueError("rows have to sum to 1")


def _swept(P, R, pi, gamma, sweeps):
    V = torch.zeros(len(R), dtype=R.dtype)
    for _ in range(sweeps):
        V = (pi * (R + gamma * P @ V)).sum(1)
    return V


@mistake(
    "policy_evaluation",
    seen="You valued the best policy, not this one.",
    named="This equals the optimal values: a maximum over actions where their average under pi is meant.",
    caught_by=("test_values_solve_the_linear_equations", "test_the_frozen_lake"),
)
def greedy_instead(P, R, pi, gamma, tol=1e-10):
    _refuse_bad(P, pi, gamma)
    return value_iteration(P, R, gamma, tol)[0]


@mistake(
    "policy_evaluation",
    seen="Your answer ignores pi.",
    named="This equals the values of the policy that takes all actions equally often.",
    caught_by=("test_values_solve_the_linear_equations", "test_without_discounted_future_only_the_next_reward"),
)
def uniform_policy(P, R, pi, gamma, tol=1e-10):
    _refuse_bad(P, pi, gamma)
    return policy_evaluation(P, R, torch.full_like(pi, 1 / pi.shape[1]), gamma, tol)


@mistake(
    "policy_evaluation",
    seen="The reward of this very step is already discounted.",
    named="This equals gamma times the right values: gamma stands before the reward as well.",
    caught_by=("test_values_solve_the_linear_equations", "test_without_discounted_future_only_the_next_reward"),
)
def gamma_on_reward(P, R, pi, gamma, tol=1e-10):
    return gamma * policy_evaluation(P, R, pi, gamma, tol)


@mistake(
    "policy_evaluation",
    seen="Probability flows from s to s'; yours arrives from it.",
    named="This equals the values with P's two state axes exchanged: a sum over where a state is reached from.",
    caught_by="test_values_solve_the_linear_equations",
)
def transposed_P(P, R, pi, gamma, tol=1e-10):
    _refuse_bad(P, pi, gamma)
    P_pi = torch.einsum("sa,sat->st", pi, P)
    return torch.linalg.solve(torch.eye(len(R), dtype=R.dtype) - gamma * P_pi.T, (pi * R).sum(1))


@mistake(
    "policy_evaluation",
    seen="Apply the equation once more: does V still move?",
    named="This equals 50 sweeps from zero, however much the last one still changed.",
    caught_by="test_a_long_view_is_followed_to_the_end",
)
def stops_early(P, R, pi, gamma, tol=1e-10):
    _refuse_bad(P, pi, gamma)
    return _swept(P, R, pi, gamma, 50)


@mistake(
    "policy_evaluation",
    seen="A state is worth what its policy does on average: yours acts as if each state had only one action.",
    named="This equals the values of the policy that always takes the most probable action of pi.",
    caught_by=("test_values_solve_the_linear_equations", "test_without_discounted_future_only_the_next_reward"),
)
def most_probable_action(P, R, pi, gamma, tol=1e-10):
    _refuse_bad(P, pi, gamma)
    only = torch.nn.functional.one_hot(pi.argmax(1), pi.shape[1]).to(pi.dtype)
    return policy_evaluation(P, R, only, gamma, tol)


# ------------------------------------------------------------------------------------------------------ value_iteration


def _greedy(Q):
    best = Q.max(1, keepdim=True).values
    return (best - Q <= 1e-9).to(torch.int64).argmax(1)


def _iterated(sweep, P, R, gamma, tol, sweeps):
    """The right loop around another sweep; returns the values of the last two sweeps."""
    check_gamma(gamma)
    V = before = torch.zeros(len(R), dtype=R.dtype)
    done = 0
    while sweeps is None or done < sweeps:
        before, V, done = V, sweep(P, R, gamma, V), done + 1
        if sweeps is None and (V - before).abs().max() <= tol:
            break
    return V, before


def _best(P, R, gamma, V):
    return (R + gamma * P @ V).max(1).values


@mistake(
    "value_iteration",
    seen="After one sweep some states already know two steps ahead.",
    named="This equals sweeps in place: later states read values that the same sweep has just written.",
    caught_by="test_exactly_so_many_sweeps",
)
def in_place_sweep(P, R, gamma, tol=1e-10, sweeps=None):
    def sweep(P, R, gamma, V):
        V = V.clone()
        for s in range(len(V)):
            V[s] = (R[s] + gamma * P[s] @ V).max()
        return V

    V, _ = _iterated(sweep, P, R, gamma, tol, sweeps)
    return V, _greedy(R + gamma * P @ V)


@mistake(
    "value_iteration",
    seen="Your values are those of a random walker.",
    named="This equals the values of taking all actions equally often: a mean where the maximum is meant.",
    caught_by=("test_values_are_the_best_of_all_policies", "test_exactly_so_many_sweeps"),
)
def mean_over_actions(P, R, gamma, tol=1e-10, sweeps=None):
    V, _ = _iterated(lambda P, R, gamma, V: (R + gamma * P @ V).mean(1), P, R, gamma, tol, sweeps)
    return V, _greedy(R + gamma * P @ V)


@mistake(
    "value_iteration",
    seen="Your policy answers to yesterday's values.",
    named="This equals the right values with the policy that is greedy in the values before the last sweep.",
    caught_by="test_the_policy_answers_to_the_values_returned",
)
def stale_policy(P, R, gamma, tol=1e-10, sweeps=None):
    V, before = _iterated(_best, P, R, gamma, tol, sweeps)
    return V, _greedy(R + gamma * P @ before)


@mistake(
    "value_iteration",
    seen="The reward of this very step is already discounted.",
    named="This equals gamma times the right values: gamma stands before the reward as well.",
    caught_by=("test_values_are_the_best_of_all_policies", "test_exactly_so_many_sweeps"),
)
def discounts_the_reward(P, R, gamma, tol=1e-10, sweeps=None):
    check_gamma(gamma)
    return value_iteration(P, gamma * R, gamma, tol, sweeps)


@mistake(
    "value_iteration",
    seen="Two actions differ by a rounding error, and yours takes the later one.",
    named="This equals the right values with a plain argmax: actions within 1e-9 of the best are not treated as equal.",
    caught_by="test_nearly_equal_actions_give_the_lowest_index",
)
def plain_argmax(P, R, gamma, tol=1e-10, sweeps=None):
    V, _ = value_iteration(P, R, gamma, tol, sweeps)
    return V, (R + gamma * P @ V).argmax(1)


@mistake(
    "value_iteration",
    seen="Asked for k sweeps, you look one step further than that.",
    named="This equals one sweep more than asked for.",
    caught_by="test_exactly_so_many_sweeps",
)
def one_sweep_more(P, R, gamma, tol=1e-10, sweeps=None):
    return value_iteration(P, R, gamma, tol, None if sweeps is None else sweeps + 1)


# ----------------------------------------------------------------------------------------------------------- td0_update


def _refuse_unknown(V, gamma, *states):
    check_gamma(gamma)
    if not all(0 <= s < len(V) for s in states):
        raise ValueError("no such state")


@mistake(
    "td0_update",
    seen="Nothing comes after a terminal state, whatever its table entry says.",
    named="This equals the update that adds the discounted value of the next state at the end of the world too.",
    caught_by="test_nothing_comes_after_a_terminal_state",
)
def bootstraps_at_terminal(V, s, r, s_next, terminated, alpha, gamma):
    return td0_update(V, s, r, s_next, False, alpha, gamma)


@mistake(
    "td0_update",
    seen="The wrong state learned.",
    named="This equals the right step, added to the state that was reached instead of the one that was left.",
    caught_by=("test_one_step_moves_one_state", "test_nothing_comes_after_a_terminal_state"),
)
def updates_next_state(V, s, r, s_next, terminated, alpha, gamma):
    step = td0_update(V, s, r, s_next, terminated, alpha, gamma) - V
    V = V.clone()
    V[s_next] += step[s]
    return V


@mistake(
    "td0_update",
    seen="The old value never fades.",
    named="This equals V[s] plus alpha times the target: the old value is not subtracted in the error.",
    caught_by=("test_one_step_moves_one_state", "test_a_step_may_return_to_its_state"),
)
def alpha_on_target_only(V, s, r, s_next, terminated, alpha, gamma):
    _refuse_unknown(V, gamma, s, s_next)
    target = r + (0.0 if terminated else gamma * V[s_next])
    V = V.clone()
    V[s] += alpha * target
    return V


@mistake(
    "td0_update",
    seen="The reward of this very step is already discounted.",
    named="This equals the update with gamma before the reward as well as before the next value.",
    caught_by=("test_one_step_moves_one_state", "test_nothing_comes_after_a_terminal_state"),
)
def discounts_this_reward(V, s, r, s_next, terminated, alpha, gamma):
    return td0_update(V, s, gamma * r, s_next, terminated, alpha, gamma)


@mistake(
    "td0_update",
    seen="The table you were given changed.",
    named="This equals the right update, written into the caller's table.",
    caught_by=("test_one_step_moves_one_state", "test_nothing_comes_after_a_terminal_state"),
)
def edits_input(V, s, r, s_next, terminated, alpha, gamma):
    V[:] = td0_update(V, s, r, s_next, terminated, alpha, gamma)
    return V


@mistake(
    "td0_update",
    seen="A number below zero is no state, even if Python finds an entry for it.",
    named="This equals the right update with only the upper end of the table checked: -1 is read from the end.",
    caught_by="test_unknown_states_are_refused",
)
def counts_from_the_end(V, s, r, s_next, terminated, alpha, gamma):
    s, s_next = (state + len(V) if state < 0 else state for state in (s, s_next))
    return td0_update(V, s, r, s_next, terminated, alpha, gamma)


# ------------------------------------------------------------------------------------------------------------ td_lambda


def _walked(V, states, rewards, terminated, alpha, gamma, lam, fade=None, visit=None, late=False, frozen=False):
    """The backward view with one piece replaced."""
    check_gamma(gamma)
    first = V
    V, z = V.clone(), torch.zeros_like(V)
    for t in range(len(rewards)):
        s, s_next = states[t], states[t + 1]
        read = first if frozen else V
        ends = terminated and t == len(rewards) - 1
        delta = rewards[t] + (0.0 if ends else gamma * read[s_next]) - read[s]
        if late:  # the error meets the traces before this state has its own
            V = V + alpha * delta * z
        z = (gamma * lam if fade is None else fade) * z
        z[s] = z[s] + 1 if visit is None else visit
        if late:
            continue
        V = V + alpha * delta * z
    return V


@mistake(
    "td_lambda",
    seen="A state visited twice deserves credit twice here.",
    named="This equals replacing traces: a visit sets the trace to 1 instead of adding 1.",
    caught_by=("test_an_episode_with_states_met_again", "test_a_state_that_leads_to_itself"),
)
def replacing_trace(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, terminated, alpha, gamma, lam, visit=1.0)


@mistake(
    "td_lambda",
    seen="Credit must fade with gamma as well.",
    named="This equals traces that fade by lambda alone, without gamma.",
    caught_by=("test_an_episode_with_states_met_again", "test_an_episode_that_time_cut_off"),
)
def no_gamma_in_trace(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, terminated, alpha, gamma, lam, fade=lam)


@mistake(
    "td_lambda",
    seen="The state you just left got nothing for this step.",
    named="This equals an update with the traces from before this visit: 1 is added only afterwards.",
    caught_by=("test_an_episode_with_states_met_again", "test_without_memory_it_is_td0"),
)
def trace_after_update(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, terminated, alpha, gamma, lam, late=True)


@mistake(
    "td_lambda",
    seen="Online means the next error sees this step's learning.",
    named="This equals the update with all errors computed from the table as it was before the episode.",
    caught_by=("test_an_episode_with_states_met_again", "test_an_episode_that_time_cut_off"),
)
def frozen_v(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, terminated, alpha, gamma, lam, frozen=True)


@mistake(
    "td_lambda",
    seen="A clock ran out; the world did not end.",
    named="This equals treating every last step as the end of the world: the last state's value is never used.",
    caught_by="test_an_episode_that_time_cut_off",
)
def ends_with_the_clock(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, True, alpha, gamma, lam)


@mistake(
    "td_lambda",
    seen="Nothing comes after a terminal state, whatever its table entry says.",
    named="This equals adding the discounted value of the last state although the world ended there.",
    caught_by="test_an_episode_with_states_met_again",
)
def reads_the_terminal_entry(V, states, rewards, terminated, alpha, gamma, lam):
    return _walked(V, states, rewards, False, alpha, gamma, lam)


# ------------------------------------------------------------------------------------------------ sarsa_update, q_update


@mistake(
    "sarsa_update",
    seen="On-policy learns from the action really taken next.",
    named="This equals Q-learning's update: the best next action instead of the one that was taken.",
    caught_by="test_sarsa_learns_from_the_action_taken",
)
def max_in_sarsa(Q, s, a, r, s_next, a_next, terminated, alpha, gamma):
    return q_update(Q, s, a, r, s_next, terminated, alpha, gamma)


@mistake(
    "sarsa_update",
    seen="Nothing comes after a terminal state, whatever its table row says.",
    named="This equals the update that adds the discounted next value at the end of the world too.",
    caught_by="test_sarsa_ends_at_the_end",
)
def sarsa_reads_the_terminal_row(Q, s, a, r, s_next, a_next, terminated, alpha, gamma):
    return sarsa_update(Q, s, a, r, s_next, a_next, False, alpha, gamma)


@mistake(
    "sarsa_update",
    seen="The reward of this very step is already discounted.",
    named="This equals the update with gamma before the reward as well as before the next value.",
    caught_by=("test_sarsa_learns_from_the_action_taken", "test_sarsa_ends_at_the_end"),
)
def sarsa_discounts_the_reward(Q, s, a, r, s_next, a_next, terminated, alpha, gamma):
    return sarsa_update(Q, s, a, gamma * r, s_next, a_next, terminated, alpha, gamma)


@mistake(
    "sarsa_update",
    seen="The table you were given changed.",
    named="This equals the right update, written into the caller's table.",
    caught_by="test_sarsa_learns_from_the_action_taken",
)
def sarsa_edits_input(Q, s, a, r, s_next, a_next, terminated, alpha, gamma):
    Q[:] = sarsa_update(Q, s, a, r, s_next, a_next, terminated, alpha, gamma)
    return Q


@mistake(
    "q_update",
    seen="Off-policy asks for the best next action, taken or not. Yours repeats the last one.",
    named="This equals Sarsa's update with the same action again in the next state.",
    caught_by="test_q_learns_from_the_best_next_action",
)
def next_action_in_q(Q, s, a, r, s_next, terminated, alpha, gamma):
    return sarsa_update(Q, s, a, r, s_next, a, terminated, alpha, gamma)


@mistake(
    "q_update",
    seen="Off-policy asks for the best next action, taken or not. Yours asks all of them.",
    named="This equals the update with the mean of the next state's row instead of its maximum.",
    caught_by="test_q_learns_from_the_best_next_action",
)
def mean_in_q(Q, s, a, r, s_next, terminated, alpha, gamma):
    check_gamma(gamma)
    future = 0.0 if terminated else Q[s_next].mean()
    Q_new = Q.clone()
    Q_new[s, a] += alpha * (r + gamma * future - Q[s, a])
    return Q_new


@mistake(
    "q_update",
    seen="Nothing comes after a terminal state, whatever its table row says.",
    named="This equals the update that adds the discounted best value at the end of the world too.",
    caught_by="test_q_ends_at_the_end",
)
def q_reads_the_terminal_row(Q, s, a, r, s_next, terminated, alpha, gamma):
    return q_update(Q, s, a, r, s_next, False, alpha, gamma)


@mistake(
    "q_update",
    seen="The reward of this very step is already discounted.",
    named="This equals the update with gamma before the reward as well as before the best next value.",
    caught_by=("test_q_learns_from_the_best_next_action", "test_q_ends_at_the_end"),
)
def q_discounts_the_reward(Q, s, a, r, s_next, terminated, alpha, gamma):
    return q_update(Q, s, a, gamma * r, s_next, terminated, alpha, gamma)


@mistake(
    "q_update",
    seen="The table you were given changed.",
    named="This equals the right update, written into the caller's table.",
    caught_by="test_q_learns_from_the_best_next_action",
)
def q_edits_input(Q, s, a, r, s_next, terminated, alpha, gamma):
    Q[:] = q_update(Q, s, a, r, s_next, terminated, alpha, gamma)
    return Q


# ----------------------------------------------------------------------------------------------------------- q_learning


def _acting(Q, s, epsilon, dice, ties):
    row = Q[s].tolist()
    if dice.random() < epsilon:
        return dice.randrange(len(row))
    best = [i for i, q in enumerate(row) if q == max(row)]
    return dice.choice(best) if ties == "random" else best[0]


def _trained(env, steps, alpha, gamma, epsilon, seed, ties="random", on_policy=False, reseeds=False, dice=None):
    """The right agent with one piece replaced."""
    dice = dice or random.Random(seed)
    Q = torch.zeros(int(env.observation_space.n), int(env.action_space.n), dtype=torch.float64)
    s, _ = env.reset(seed=seed)
    a = _acting(Q, s, epsilon, dice, ties)
    for _ in range(steps):
        s_next, r, terminated, truncated, _ = env.step(a)
        a_next = _acting(Q, s_next, epsilon, dice, ties)
        if on_policy:
            Q = sarsa_update(Q, s, a, r, s_next, a_next, terminated, alpha, gamma)
        else:
            Q = q_update(Q, s, a, r, s_next, terminated, alpha, gamma)
            a_next = _acting(Q, s_next, epsilon, dice, ties)
        s, a = s_next, a_next
        if terminated or truncated:
            s, _ = env.reset(seed=seed) if reseeds else env.reset()
            a = _acting(Q, s, epsilon, dice, ties)
    return Q


class _Heard:
    """An environment whose steps are heard wrongly: hear(r, terminated, truncated) -> what the agent believes."""

    def __init__(self, env, hear):
        self.env, self.hear = env, hear
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, **how):
        return self.env.reset(**how)

    def step(self, action):
        s, r, terminated, truncated, info = self.env.step(action)
        return s, *self.hear(r, terminated, truncated), info


@mistake(
    "q_learning",
    seen="Your agent knows one road and no other.",
    named="This equals an agent that never explores: epsilon has no effect.",
    caught_by="test_crosses_the_lake",
    blocker=True,
)
def never_explores(env, steps, alpha, gamma, epsilon, seed=0):
    return q_learning(env, steps, alpha, gamma, 0.0, seed)


@mistake(
    "q_learning",
    seen="A cautious road along the cliff: your targets fear your own exploration.",
    named="This equals training with Sarsa's update: the target holds the next action of the exploring agent.",
    caught_by="test_walks_along_the_cliff",
)
def on_policy_target(env, steps, alpha, gamma, epsilon, seed=0):
    return _trained(env, steps, alpha, gamma, epsilon, seed, on_policy=True)


@mistake(
    "q_learning",
    seen="When all actions look equal yours always picks the same one.",
    named="This equals an agent that breaks ties by the lowest index.",
    caught_by="test_probe_corridor",
)
def ties_to_first(env, steps, alpha, gamma, epsilon, seed=0):
    return _trained(env, steps, alpha, gamma, epsilon, seed, ties="first")


@mistake(
    "q_learning",
    seen="A clock ran out; the world did not end.",
    named="This equals an agent that takes a time limit for the end of the world: no value of the last state.",
    caught_by=("test_a_world_without_choice", "test_probe_loop"),
)
def truncation_is_terminal(env, steps, alpha, gamma, epsilon, seed=0):
    deaf = _Heard(env, lambda r, terminated, truncated: (r, terminated or truncated, truncated))
    return q_learning(deaf, steps, alpha, gamma, epsilon, seed)


@mistake(
    "q_learning",
    seen="The world ended, and you still hope for something.",
    named="This equals an agent that adds the value of the last state although the world ended there.",
    caught_by=("test_a_world_without_choice", "test_probe_ending"),
)
def bootstraps_at_the_end(env, steps, alpha, gamma, epsilon, seed=0):
    deaf = _Heard(env, lambda r, terminated, truncated: (r, False, terminated or truncated))
    return q_learning(deaf, steps, alpha, gamma, epsilon, seed)


@mistake(
    "q_learning",
    seen="The reward of this very step is already discounted.",
    named="This equals an agent with gamma before the reward as well as before the next value.",
    caught_by=("test_a_world_without_choice", "test_probe_corridor", "test_probe_loop", "test_probe_ending"),
)
def discounts_each_reward(env, steps, alpha, gamma, epsilon, seed=0):
    deaf = _Heard(env, lambda r, terminated, truncated: (gamma * r, terminated, truncated))
    return q_learning(deaf, steps, alpha, gamma, epsilon, seed)


@mistake(
    "q_learning",
    seen="Every episode has the same luck.",
    named="This equals an agent that resets the environment with the seed each time.",
    caught_by="test_the_environment_is_seeded_once",
)
def reseeds(env, steps, alpha, gamma, epsilon, seed=0):
    return _trained(env, steps, alpha, gamma, epsilon, seed, reseeds=True)


@mistake(
    "q_learning",
    seen="The same seed gave two different tables: whose dice do you use?",
    named="This equals an agent whose dice do not begin at the seed.",
    caught_by="test_one_seed_one_table",
)
def unseeded_dice(env, steps, alpha, gamma, epsilon, seed=0):
    return _trained(env, steps, alpha, gamma, epsilon, seed, dice=random)


@mistake(
    "q_learning",
    seen="Your table says that every action of every state is worth the same.",
    named="This equals a table of zeros: nothing was learned.",
    caught_by=(
        "test_a_world_without_choice",
        "test_probe_corridor",
        "test_probe_loop",
        "test_probe_ending",
        "test_crosses_the_lake",
        "test_walks_along_the_cliff",
    ),
    blocker=True,
)
def untrained(env, steps, alpha, gamma, epsilon, seed=0):
    env.reset(seed=seed)
    return torch.zeros(int(env.observation_space.n), int(env.action_space.n), dtype=torch.float64)
