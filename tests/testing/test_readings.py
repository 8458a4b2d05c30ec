"""Language models that the grader scores itself: counting, loading by name, agreement and bits."""

import math

import pytest

torch = pytest.importorskip("torch")

from autograder.testing.graded import GradedRun  # noqa: E402
from autograder.testing.readings import CURVE_POINTS, Reader  # noqa: E402
from autograder.testing.student import BudgetExceeded, WrongAnswer  # noqa: E402

V = 5


class Pairs(torch.nn.Module):
    """What comes next depends on the token alone."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(V, V))

    def forward(self, tokens):
        return self.table[tokens]


def reader(steps=20, held_out=None, context=4, run=None):
    text = torch.arange(40) % V if held_out is None else held_out
    return Reader(run or GradedRun(3), Pairs(), text, context=context, steps=steps, tokens=8)


def certain():
    """Weights that know a text which counts up."""
    return {"table": 30 * torch.eye(V).roll(1, dims=1)}


def test_equal_chances_cost_the_logarithm_of_their_number():
    assert reader().bits() == pytest.approx(math.log2(V))


@pytest.mark.parametrize("context", [1, 3, 4, 39, 100])
def test_every_next_token_counts_once_however_the_text_is_cut(context):
    asked = reader(held_out=torch.tensor([0, 1, 2, 4, 4, 0, 3, 1, 2]), context=context)
    asked.take({"table": torch.randn(V, V, generator=torch.Generator().manual_seed(0))})
    logp = asked.model.table.detach().log_softmax(-1)
    text = asked.held_out
    expected = -logp[text[:-1], text[1:]].mean().item() / math.log(2)
    assert asked.bits() == pytest.approx(expected, rel=1e-5)


def test_a_glance_reads_some_windows_of_the_whole_text():
    half = torch.arange(400) % V
    asked = reader(held_out=torch.cat([half, half.flip(0)]))  # the second half counts down, which is not expected
    asked.take(certain())
    assert 0.9 * asked.bits() < asked.bits(every=7) < 1.1 * asked.bits()


def test_weights_are_put_into_the_graders_own_model():
    asked = reader()
    asked.take(certain())
    assert asked.bits() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "other names"),
        ({}, "other names"),
        (certain() | {"more": torch.zeros(2)}, "other names"),
        ({"table": torch.zeros(V, V + 1)}, "another shape"),
        ({"table": [[0.0] * V] * V}, "another shape"),
    ],
)
def test_weights_of_another_class_are_refused(weights, message):
    with pytest.raises(WrongAnswer, match=message):
        reader().take(weights)


def test_a_model_that_answers_otherwise_than_its_weights_is_refused():
    asked, tokens = reader(), torch.tensor([[0, 1, 2]])
    asked.take(certain())
    right = asked.model(tokens).detach()
    asked.agrees(right + 1e-5, tokens)
    for wrong in (right + 1e-2, right[:, :2], right.tolist(), right * float("nan")):
        with pytest.raises(WrongAnswer, match="trained model"):
            asked.agrees(wrong, tokens)


def test_steps_and_tokens_are_counted():
    update = reader(steps=3).updates()
    for step in range(3):
        update(8 * (step + 1))
    with pytest.raises(BudgetExceeded, match="3 optimiser steps"):
        update(24)
    with pytest.raises(BudgetExceeded, match="24 tokens"):
        reader(steps=3).updates()(25)


def test_now_and_then_the_curve_gets_a_point():
    told = []
    run = GradedRun(3, on_progress=told.append)
    update = reader(steps=40, run=run).updates()
    for step in range(40):
        if update(8 * (step + 1)):
            assert update(8 * (step + 1), certain()) is False
    assert CURVE_POINTS <= len(run.points) <= CURVE_POINTS + 1
    assert run.points[0] == (1, pytest.approx(0, abs=1e-6))
    assert run.points[-1][0] == 40
    assert told[-1] == 1


def test_what_is_asked_for_a_point_is_no_step():
    asked = reader(steps=2)
    update = asked.updates()
    assert update(8) is True
    update(8, certain())
    update(16)
    assert asked.used == 2
