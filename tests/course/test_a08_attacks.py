"""What tries to pass for training without having learnt earns nothing for it; what learns, does, behind the walls."""

import dataclasses
import io

import pytest
import torch

from autograder.grading import material
from autograder.grading.run import grade
from autograder.sandbox.messages import Program
from autograder.sandbox.session import SandboxTransport
from autograder.testing.modules import use_packages, without_test_cells
from autograder.testing.runner import run_test
from autograder.testing.seeds import vetted_seeds
from autograder.testing.student import Student

pytestmark = [pytest.mark.course, pytest.mark.attack, pytest.mark.timeout(900)]

POLE = "test_balances_a_disguised_pole"

CONTROLLER = """
def train_ppo(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    class Upright(PPOAgent):
        def act(self, obs):
            x, v, angle, spin = obs.unbind(-1)
            return (angle + 0.5 * spin + 0.05 * x + 0.1 * v > 0).long()
    return Upright(4, 2)
"""

REPORTED = """
def train_ppo(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    class Proud(PPOAgent):
        returns = [500.0] * 20
        mean_return = 500.0
        def act(self, obs):
            return torch.ones(len(obs), dtype=torch.int64)
    agent = Proud(4, 2)
    print("mean return of 20 greedy episodes: 500.0")
    for _ in range(64):
        on_update(agent)
    return agent
"""

CACHED = """
import base64, io
def train_ppo(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    agent = PPOAgent(4, 2)
    agent.load_state_dict(torch.load(io.BytesIO(base64.b64decode({weights!r})), weights_only=True))
    return agent
"""

HUNGRY = """
def train_ppo(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    env, taken = env_fn(), 0
    env.reset(seed=0)
    while True:
        try:
            if env.step(0)[2]:
                env.reset()
        except Exception:
            break
        taken += 1
    print("taken", taken)
    return PPOAgent(4, 2)
"""


@pytest.fixture(scope="module")
def scene(course):
    use_packages(course.packages)
    assignment = course.assignment("a08")
    author = material.author_of(assignment)
    case = next(case for case in material.tests_of(assignment, author) if case.name == POLE)
    with SandboxTransport.start("fork", assignment.requires, packages=course.packages) as transport:
        yield assignment, author, case, transport


def run(scene, text, seed):
    assignment, author, case, transport = scene
    earlier = tuple((name, f"{name}.py", without_test_cells(a.text("source.py"))) for name, a in author.earlier)
    source = without_test_cells(author.text("source.py")) + text
    program = Program("ppo", source, "ppo.py", author.text("asks.py"), None, assignment.requires, earlier)
    limits = dataclasses.replace(assignment.limits, cpu_seconds=case.cpu_seconds)
    return run_test(case, Student(lambda: transport.open(program, limits, True)), None, seed)


@pytest.mark.parametrize("text", [CONTROLLER, REPORTED, HUNGRY], ids=["controller", "reported returns", "hungry"])
def test_an_attack_misses_on_every_seed_that_a_student_can_be_given(scene, text):
    _, author, case, _ = scene
    seeds = vetted_seeds(author.path("calibration.json"))[case.family]
    for seed in seeds[:1] if text is HUNGRY else seeds:
        verdict = run(scene, text, seed)
        assert (verdict.outcome, verdict.missed) == ("failed", True), (seed, verdict.detail)
        assert verdict.figures[0].value < 475
    if text is HUNGRY:
        assert "taken 65536" in verdict.ended.output, "no step more than the budget"
    if text is REPORTED:
        assert all(value < 100 for _, value in verdict.curve.points), "the curve is the grader's own"


def test_a_policy_that_was_trained_before_is_of_no_use(scene):
    """Weights that balance the plain pole; they are trained here, so that they are those of today's reference."""
    import base64

    import gymnasium

    _, author, case, _ = scene
    agent = author.reference().train_ppo(lambda: gymnasium.make("CartPole-v1"), 32_768)
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    text = CACHED.format(weights=base64.b64encode(file.getvalue()).decode())
    for seed in vetted_seeds(author.path("calibration.json"))[case.family]:
        verdict = run(scene, text, seed)
        assert (verdict.outcome, verdict.missed) == ("failed", True), (seed, verdict.detail)


def test_the_reference_learns_behind_the_walls(scene):
    _, author, case, _ = scene
    verdict = run(scene, "", vetted_seeds(author.path("calibration.json"))[case.family][0])
    assert verdict.passed, verdict.detail
    assert verdict.figures[0].value >= 475
    assert len(verdict.curve.points) >= 8
    assert verdict.ended.cpu_seconds < 40


def test_an_agent_that_never_trains_gets_no_point_for_training(scene, course):
    assignment, author, _, transport = scene
    text = without_test_cells(author.text("source.py")) + CONTROLLER
    before = assignment.module_path.read_bytes()
    try:
        assignment.module_path.write_text(text)
        report = grade(course, assignment, transport, task=assignment.task("train_ppo"))
    finally:
        assignment.module_path.write_bytes(before)
    assert sum(test.points for test in report.tests) == 0
