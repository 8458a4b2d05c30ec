"""On a lucky seed a blocker gets further than it usually does: such a seed is given to nobody."""

from types import SimpleNamespace

import pytest

from autograder.authoring import runs
from autograder.authoring.runs import Trained, vet_run
from autograder.report import Figure


def verdict(value, needed=475.0):
    return SimpleNamespace(
        passed=value >= needed,
        detail="it does not learn",
        figures=(Figure("return", value, needed, ""),),
        curve=SimpleNamespace(points=((0.0, 0.0), (1.0, value))),
        ended=SimpleNamespace(cpu_seconds=1.0),
        listed=(),
    )


BLOCKER = SimpleNamespace(id="fixed", task="train", blocker=True, caught_by={"test_run": None})
AUTHOR = SimpleNamespace(mistakes=[BLOCKER], alternatives=[], path=None)
CASE = SimpleNamespace(name="test_run", family="test_run", task="train")


@pytest.fixture
def vetted(monkeypatch):
    """What is kept of a run on which the blocker reaches these values, seed by seed; the reference 500."""

    def vet(values, reference=()):
        truths = dict(enumerate(reference))
        monkeypatch.setattr(runs, "proxy", lambda author, *items: items)
        monkeypatch.setattr(
            runs,
            "run_test",
            lambda case, items, _, seed: verdict(values[seed] if items else truths.get(seed, 500.0)),
        )
        return vet_run(AUTHOR, CASE, 4, lambda _: None)

    return vet


def test_a_seed_on_which_a_blocker_gets_through_or_near_is_given_to_nobody(vetted):
    row = vetted([9, 480, 10, 300, 11, 12, 30])
    assert row.seeds == [0, 2, 4, 5]
    assert row.blockers == {"fixed": [9, 10, 11, 12]}
    assert row.caught == {"fixed": 4}
    assert row.lapses == []


def test_a_seed_on_which_the_reference_fails_is_given_to_nobody(vetted):
    row = vetted([9, 9, 10, 11, 12], reference=[500, 400])
    assert (row.seeds, row.reference) == ([0, 2, 3, 4], [500, 500, 500, 500])


def test_a_blocker_that_is_lucky_too_often_is_a_lapse(vetted):
    row = vetted([480] * 12)
    assert row.seeds == []
    assert "on 5 seeds a blocker gets through or half of the way" in row.lapses[0]


def test_nearness_is_counted_from_what_the_blocker_usually_reaches():
    kept = {seed: Trained(verdict(500.0), {"fixed": verdict(value)}) for seed, value in enumerate([200, 210, 190, 345])}
    assert runs._lucky(kept, complete=True) == [3]
    assert runs._lucky(kept, complete=False) == []


def test_the_band_goes_as_far_as_the_longest_run():
    """And where only that run was measured, it alone is the band."""
    short = ((10.0, 1.0), (20.0, 3.0))
    long = ((10.0, 2.0), (20.0, 2.0), (30.0, 5.0))
    assert runs._band([short, long]) == [[10.0, 1.0, 2.0], [20.0, 2.0, 3.0], [30.0, 5.0, 5.0]]
    assert runs._band([short, ()]) == [[10.0, 1.0, 1.0], [20.0, 3.0, 3.0]]
    assert runs._band([()]) == []
