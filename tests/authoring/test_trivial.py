"""Void answers know nothing, in whatever kind of result they come."""

from types import ModuleType

import pytest

from autograder.authoring.trivial import TRIVIAL, with_trivial


def answer(kind: str, function):
    """What a function answers once it is void."""
    module = ModuleType("made")
    module.f = function
    trivial = next(each for each in TRIVIAL if each.id == kind)
    return with_trivial(lambda: module, "f", trivial)().f("Hi")


@pytest.mark.parametrize(("kind", "void"), [("zeros", ""), ("ones", "1"), ("input", "Hi"), ("None", None)])
def test_a_void_answer_says_nothing_of_a_text(kind, void):
    assert answer(kind, lambda text: f"{text} there") == void
    if kind in ("zeros", "ones"):
        assert answer(kind, lambda text: [{"said": text}]) == [{"said": void}]


def test_a_void_answer_refuses():
    with pytest.raises(ValueError, match="refused"):
        answer("refusal", lambda text: text)
