"""A test says by `importorskip` what it can do without."""

import pytest

from autograder.testing.optional import optional_packages


def needs_core():
    np = pytest.importorskip("numpy")
    json = pytest.importorskip("json")
    return np, json, pytest.importorskip("gymnasium").spaces


def needs_more():
    return pytest.importorskip("some_library.deep.inside", reason="it is not installed")


def test_what_the_core_install_brings_is_not_optional():
    assert optional_packages(needs_core) == frozenset()


def test_what_may_be_absent_is_named_whether_or_not_it_is_here():
    assert optional_packages(needs_more) == {"some_library"}
