"""No submission gains a point that it does not deserve, learns what is hidden, harms what is near or stops a grading."""

import json

import pytest

from autograder.report import OUTCOMES

pytestmark = [pytest.mark.attack, pytest.mark.timeout(120)]

TESTS = 14
"""Public and hidden tests of the toy assignment."""

PATIENCE = 20.0
"""Seconds that no submission may keep the grader: two tests of a task at most may run out of time."""


def texts_in(data):
    """Every piece of text in a report, wherever it stands."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from texts_in(key)
            yield from texts_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts_in(value)


def assert_complete(graded):
    report = graded.report
    assert report["complete"]
    assert len(report["tests"]) == len({test["id"] for test in report["tests"]}) == TESTS
    assert {test["outcome"] for test in report["tests"]} <= set(OUTCOMES)
    broken = [(test["id"], test["reason"]) for test in report["tests"] if test["outcome"] == "error"]
    assert not broken, "an error of ours"
    for test in report["tests"]:
        assert test["points"] in (0, test["max_points"])
        assert test["outcome"] == "passed" or (test["points"] == 0 and test["reason"])


def assert_full_marks(graded, points=5):
    unwell = [
        (test["id"], test["outcome"], test["reason"]) for test in graded.report["tests"] if test["outcome"] != "passed"
    ]
    assert not unwell, "an honest neighbour suffers"
    assert graded.points == points


def assert_nothing_hidden_is_told(graded):
    """Neither a hidden input nor an expected value stands in what is said of a hidden test; and no control characters."""
    for test in graded.report["tests"]:
        if test["hidden"]:
            told = [secret for secret in graded.secrets if secret in test["reason"]]
            assert not told, f"{test['id']} tells {told}: {test['reason']!r}"
            assert test["output"] == ""
    for text in texts_in(graded.report):
        assert all(c.isprintable() or c in "\n\t" for c in text), f"control characters in {text!r}"


def loot(graded, scene):
    """What an attack got hold of: the canary wherever it shows, and what it boasts of; both only once."""
    found = {text for text in texts_in(graded.report) for line in text.splitlines() if scene.canary in line}
    boasts = {line for text in texts_in(graded.report) for line in text.splitlines() if "BREACHED" in line}
    return sorted(found | boasts) + [f"reached by {name}" for name in scene.services.reached()]


def test_an_attack_gains_nothing_and_harms_nobody(attack, grader):
    scene = grader.scene
    graded = grader.attacked_by(attack)

    assert graded.points <= attack.deserves, "it pays"
    assert_complete(graded)
    assert graded.points == attack.deserves, "an honest part was not paid"
    assert graded.seconds < PATIENCE
    assert_nothing_hidden_is_told(graded)
    assert not graded.changed, "files were changed"
    assert not scene.strewn(), "files were left"
    assert scene.bystander.poll() is None, "a bystander was ended"
    got = loot(graded, scene)
    if got:
        admitted = " ".join(grader.isolation["not_stopped"]).lower()
        assert attack.admits, f"it got {got}"
        assert attack.admits in admitted, f"it got {got}, and the isolation does not say so: {admitted}"
    assert len(grader.below()) <= grader.at_rest + 1, "processes are left"
    if grader.mode != "shared":  # which serves one submission
        assert_full_marks(grader.honest(task="running_mean"), points=3)  # the task that builds on the other


def test_a_word_left_behind_is_found_by_nobody(grader, attack_called):
    left = grader.attacked_by(attack_called("leaves_word"))
    found = grader.attacked_by(attack_called("finds_word"))
    assert left.points == found.points == 2
    assert "BREACHED" not in json.dumps(found.report)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["fork_bomb", "fork_bomb_of_sessions"])
def test_a_fork_bomb_is_over_within_a_second_of_reaching_its_cap(grader, attack_called, name):
    graded = grader.attacked_by(attack_called(name), watch=True)
    most = max(count for _, count in graded.crowd) - grader.at_rest
    bursts, began = [], None
    for moment, count in graded.crowd:
        crowded = count - grader.at_rest >= 16
        if crowded and began is None:
            began = moment
        elif began is not None and count <= grader.at_rest + 1:
            bursts.append(moment - began)
            began = None
    assert began is None, "it was never over"
    print(f"{grader.mode}: {most} processes at most, and over within {max(bursts, default=0.0):.2f} seconds")
    assert most <= 120
    assert max(bursts, default=0.0) <= 1.0
    assert_full_marks(grader.honest())


def test_memory_of_an_earlier_grading_is_worth_nothing(grader, attack_called):
    """A command that grades again and again starts its sandbox with traces of earlier gradings in its memory."""
    assert_full_marks(grader.honest())
    attack = attack_called("walks_the_heap")
    assert grader.attacked_by(attack, restart=True).points == attack.deserves


@pytest.mark.parametrize(
    "name",
    [
        "reads_the_reference",
        "reads_the_hidden_tests",
        "reads_a_secret",
        "reads_earlier_reports",
        "follows_a_link",
        "imports_through_a_link",
        "rewrites_its_source",
        "connects_by_tcp",
        "sends_by_udp",
        "connects_by_unix_socket",
        "reuses_a_pair_of_sockets",
    ],
)
def test_without_walls_an_attack_succeeds_and_is_seen(graders, attack_called, name):
    """The counter-test: these are able, and this suite sees it. Only attacks that stay inside the scene are let loose."""
    grader = graders("none")
    attack = attack_called(name)
    graded = grader.attacked_by(attack)
    assert loot(graded, grader.scene) or graded.changed or graded.points > attack.deserves
