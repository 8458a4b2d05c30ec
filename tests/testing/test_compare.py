"""What counts as the same answer, how far off another one is, and in which words that is said."""

import math

import numpy as np
import pytest

from autograder.testing.compare import Tolerance, difference, kind, numbers

EXACT = Tolerance()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (1, 1),
        (1, 1.0),
        ([1, 2], (1, 2)),
        ({"a": [1.5]}, {"a": [1.5]}),
        (None, None),
        ("x", "x"),
        (math.inf, math.inf),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    ],
)
def test_the_same_is_the_same(answer, expected):
    assert difference(answer, expected, EXACT) is None


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (1.0, 1, "is a float, where an int is expected"),
        (True, 1, "is a bool, where an int is expected"),
        (None, 1.0, "is None, where a float is expected"),
        ([1], [1, 2], "has 1 items, where 2 are expected"),
        ({"a": 1}, {"b": 1}, "lacks 'b' and has 'a' too many"),
        (np.zeros(3), np.zeros((3, 1)), "has shape (3,), where (3, 1) is expected"),
        (np.zeros(3, np.float32), np.zeros(3), "has dtype float32, where float64 is expected"),
        ([0.0], np.zeros(1), "is a list of 1, where a float64 array of shape (1,) is expected"),
        (np.array([1, 2]), np.array([1, 3]), "1 of the 2 values of your answer is wrong"),
    ],
)
def test_another_kind_or_shape_is_named(answer, expected, said):
    found = difference(answer, expected, EXACT)
    assert found is not None
    assert said in found.safe
    assert math.isinf(found.distance)


def test_a_tolerance_is_relative_and_absolute():
    assert difference(1.001, 1.0, Tolerance(rtol=1e-2)) is None
    assert difference(1e-9, 0.0, Tolerance(atol=1e-8)) is None
    assert difference(1.1, 1.0, Tolerance(rtol=1e-2)) is not None


def test_distance_counts_tolerances():
    found = difference(np.array([1.0, 3.0]), np.array([1.0, 2.0]), Tolerance(atol=0.01))
    assert found is not None
    assert found.distance == pytest.approx(100)


def test_nan_equals_nothing_unless_asked():
    nan = np.array([math.nan, 1.0])
    found = difference(nan, nan, EXACT)
    assert found is not None
    assert difference(nan, nan, Tolerance(nan_equal=True)) is None


def test_nan_is_counted():
    found = difference(np.array([math.nan, 1.0]), np.array([2.0, 1.0]), EXACT)
    assert found is not None
    assert "NaN in 1 place" in found.safe


def test_what_is_safe_shows_no_value():
    found = difference(np.array([1.23456, 7.0]), np.array([41999.25, 7.0]), EXACT)
    assert found is not None
    assert "41999.2" not in found.safe
    assert "1.2345" not in found.safe
    assert "41999.2" in found.detail


def test_a_long_text_is_cut_in_what_is_said():
    found = difference("x" * 10_000, "y", EXACT)
    assert found is not None
    assert len(found.detail) < 250


def test_a_nested_place_is_named():
    found = difference({"k": [1, (2, 3)]}, {"k": [1, (2, 4)]}, EXACT)
    assert found is not None
    assert "['k'][1][1]" in found.safe


def test_an_integer_beyond_any_float_is_only_wrong():
    found = difference(10**400, 1.0, Tolerance(rtol=1e-6))
    assert found is not None
    assert "infinite" in found.safe
    assert numbers([10**400, -(10**400)]).tolist() == [math.inf, -math.inf]


def test_numbers_flattens_everything():
    assert sorted(numbers({"a": [1, True], "b": (2.5, "text", None), "c": np.ones(2)}).tolist()) == [1, 1, 1, 1, 2.5]


@pytest.mark.parametrize(("value", "said"), [(None, "None"), (1, "an int"), ("x", "a str"), ((1, 2), "a tuple of 2")])
def test_kinds_read_well(value, said):
    assert kind(value) == said


@pytest.mark.course
def test_tensors_compare_by_dtype_shape_and_value():
    torch = pytest.importorskip("torch")
    one = torch.tensor([1.0, 2.0])
    assert difference(one, one.clone(), EXACT) is None
    assert difference(one, one.double(), EXACT) is not None
    assert difference(one, one.numpy(), EXACT) is not None
    assert difference(one.bfloat16(), one.bfloat16(), EXACT) is None
