"""A student's seed is one of the vetted ones, the same every time, and not a neighbour's."""

import json

from autograder.testing.seeds import choose, vetted_seeds

VETTED = [3, 5, 8, 13, 21, 34, 55, 89]


def test_a_seed_is_vetted_and_repeats():
    assert choose(VETTED, "secret", "a02.test", "ada") in VETTED
    assert choose(VETTED, "secret", "a02.test", "ada") == choose(VETTED, "secret", "a02.test", "ada")


def test_students_and_tests_get_different_seeds():
    by_student = {choose(range(10_000), "secret", "a02.test", f"s{i}") for i in range(50)}
    by_test = {choose(range(10_000), "secret", f"a02.test{i}", "ada") for i in range(50)}
    by_secret = {choose(range(10_000), f"secret{i}", "a02.test", "ada") for i in range(50)}
    assert min(len(by_student), len(by_test), len(by_secret)) > 45


def test_further_draws_differ():
    assert len({choose(VETTED, "secret", "t", "ada", draw) for draw in range(len(VETTED))}) == len(VETTED)


def test_nothing_is_vetted_before_calibration(tmp_path):
    assert vetted_seeds(tmp_path / "calibration.json") == {}
    (tmp_path / "calibration.json").write_text("{")
    assert vetted_seeds(tmp_path / "calibration.json") == {}
    (tmp_path / "calibration.json").write_text(json.dumps({"seeds": {"test_a": [1, 2]}}))
    assert vetted_seeds(tmp_path / "calibration.json") == {"test_a": [1, 2]}
