"""Environments that the grader holds: counting, disguise, refusals and measuring."""

import gymnasium
import numpy as np
import pytest

from autograder.errors import SourceError
from autograder.testing.graded import GradedRun, Missed, OffTarget
from autograder.testing.remote import environments, updates
from autograder.testing.student import BudgetExceeded, WrongAnswer
from autograder.testing.worlds import MOST_ENVIRONMENTS, Disguise, World


def cartpole():
    return gymnasium.make("CartPole-v1")


def world(seed=3, budget=50, disguised=False):
    return World(GradedRun(seed), cartpole, budget=budget, disguised=disguised)


def test_steps_are_those_of_the_real_environment():
    env = environments(world().served())()
    seen, _ = env.reset(seed=1)
    assert seen.dtype == np.float32
    assert env.observation_space.contains(seen)
    seen, reward, terminated, truncated, info = env.step(np.int64(1))
    assert (seen.shape, reward, terminated, truncated, info) == ((4,), 1.0, False, False, {})


def test_the_budget_is_over_all_environments_and_resets_are_free():
    env_fn = environments(world(budget=3).served())
    one, other = env_fn(), env_fn()
    for env in (one, other):
        env.reset()
    one.step(0), other.step(0), one.step(1)
    one.reset()
    with pytest.raises(BudgetExceeded, match="environment steps of 3"):
        one.step(0)


def test_a_run_can_be_made_again():
    def first(seed):
        env = environments(world(seed).served())()
        return env.reset(seed=5)[0]

    assert (first(3) == first(3)).all()
    assert (first(3) != first(4)).any(), "the grader's seed takes part, so a known start is of no use"


def test_a_disguise_changes_with_the_seed_and_can_be_learnt_through():
    one, other = Disguise.drawn(4, 2, 1), Disguise.drawn(4, 2, 2)
    assert (one.order != np.arange(4)).any()
    assert (one.scale != other.scale).any()
    assert ((np.abs(one.scale) >= 0.5) & (np.abs(one.scale) <= 2)).all()
    true = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    assert sorted(np.abs(one.shows(true) / one.scale)) == pytest.approx([1, 2, 3, 4])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda env: env.step(0), "reset the environment first"),
        (lambda env: (env.reset(), env.step(2)), "2 actions, from 0 to 1"),
        (lambda env: (env.reset(), env.step(-1)), "2 actions, from 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused_to_the_caller(use, message):
    with pytest.raises(ValueError, match=message):
        use(environments(world().served())())


def test_an_episode_that_ended_does_not_go_on():
    env = environments(world(budget=500).served())()
    env.reset(seed=0)
    while not env.step(0)[2]:
        pass
    with pytest.raises(ValueError, match="reset the environment first"):
        env.step(0)


def test_environments_without_end_are_refused():
    env_fn = environments(world().served())
    for _ in range(MOST_ENVIRONMENTS):
        env_fn().reset()
    with pytest.raises(ValueError, match="more than"):
        env_fn().reset()


def test_returns_are_measured_on_fresh_episodes_in_the_same_disguise():
    pole = world(disguised=True)
    disguise = pole._disguise
    asked = []

    def upright(seen):
        asked.append(len(seen))
        true = np.empty_like(seen)
        true[:, disguise.order] = seen / disguise.scale
        wanted = (true[:, 2] + 0.5 * true[:, 3] + 0.05 * true[:, 0] + 0.1 * true[:, 1] > 0).astype(int)
        return np.argsort(disguise.actions)[wanted]

    assert pole.returns(upright, episodes=5).mean() > 400, "who knows the disguise balances the pole"
    assert asked[0] == 5
    assert pole.used == 0, "measuring is not training"
    assert pole.returns(lambda seen: np.zeros(len(seen), int), episodes=5).max() < 20


@pytest.mark.parametrize("bad", [[0.5] * 5, [0] * 4, [2] * 5, "go", [[0]] * 5])
def test_actions_of_another_form_fail_the_test(bad):
    with pytest.raises(WrongAnswer):
        world().returns(lambda seen: bad, episodes=5)


def test_the_curve_is_measured_by_the_grader_at_its_own_times():
    run = GradedRun(3)
    pole = World(run, cartpole, budget=64)
    served = pole.served()
    env, on_update = environments(served)(), updates(served, lambda model, seen: [model] * len(seen))
    env.reset()
    for _ in range(40):
        if any(env.step(0)[2:4]):
            env.reset()
        on_update(1)
    assert 1 < len(run.points) <= 16
    assert all(8 <= value <= 12 for _, value in run.points)


def test_states_stay_states():
    env = environments(World(GradedRun(), lambda: gymnasium.make("CliffWalking-v1"), budget=9).served())()
    state, _ = env.reset(seed=0)
    assert (int(state), env.observation_space.n, env.action_space.n) == (36, 48, 4)
    assert int(env.step(0)[0]) == 24


def test_a_world_needs_boxes_and_buttons():
    with pytest.raises(SourceError, match="Discrete actions"):
        World(GradedRun(), lambda: gymnasium.make("Pendulum-v1"), budget=1)


# ------------------------------------------------------------------------------------------------------- what a run says


def test_a_threshold_is_met_or_missed_and_nan_misses():
    run = GradedRun()
    run.reaches("accuracy", 0.98, at_least=0.97)
    run.reaches("loss", 0.1, at_most=0.2)
    for value in (0.96, float("nan")):
        with pytest.raises(Missed, match=r"at least 0\.97"):
            run.reaches("accuracy", value, at_least=0.97)
    with pytest.raises(Missed, match="at most"):
        run.reaches("loss", 0.3, at_most=0.2)
    assert [figure.threshold for figure in run.figures] == [0.97, 0.2, 0.97, 0.97, 0.2]


def test_a_probe_suspects_only_mistakes_all_of_whose_numbers_are_met():
    ends = {"doubled": [2.0, 4.0], "first_only": [2.0, None], "other": [0.0, 4.0]}
    with pytest.raises(OffTarget) as caught:
        GradedRun().tells("V", [2.01, 3.98], [1.0, 2.0], atol=0.05, mistakes=ends)
    assert caught.value.looks_like == ("doubled", "first_only")
    GradedRun().tells("V", [1.01, 1.98], [1.0, 2.0], atol=0.05, mistakes=ends)
    with pytest.raises(WrongAnswer, match="numbers where"):
        GradedRun().tells("V", [1.0], [1.0, 2.0], atol=0.05)
