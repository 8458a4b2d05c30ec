"""pytest collects an author's tests; whatever breaks the dialect is refused with its place."""

from pathlib import Path

import pytest

from autograder.errors import SourceError
from autograder.testing.collect import collect_tests

HEAD = "import pytest\nfrom autograder.testing import needs, task, weight\n\n"


def collect(tmp_path: Path, body: str):
    path = tmp_path / "hidden_tests.py"
    path.write_text(HEAD + body)
    return collect_tests(path, hidden=True)


def test_a_test_becomes_a_case(tmp_path):
    (case,) = collect(
        tmp_path,
        '@task("mean")\n@weight(2)\n@needs("test_b", "test_c")\n'
        'def test_a(student, seed):\n    """A mean is\n    a number.\n\n    More for authors."""\n',
    )
    assert (case.name, case.task, case.weight, case.needs) == ("test_a", "mean", 2, ("test_b", "test_c"))
    assert case.sentence == "A mean is a number."
    assert case.uses == {"student", "seed"}
    assert case.hidden


def test_cases_of_one_function_share_its_weight(tmp_path):
    cases = collect(
        tmp_path,
        '@task("mean")\n@weight(3)\n@pytest.mark.parametrize("n", [1, 2, 3])\ndef test_a(student, n):\n    """True."""\n',
    )
    assert [case.weight for case in cases] == [1, 1, 1]
    assert [case.params for case in cases] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert {case.family for case in cases} == {"test_a"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('def test_a(student):\n    """True."""\n', "does not say which task"),
        ('@task("mean")\ndef test_a(student):\n    pass\n', "no docstring"),
        ('@task("mean")\ndef test_a(student, tmp_path):\n    """True."""\n', "takes tmp_path"),
        ("import no_such_module\n", "cannot be collected"),
        ("def test_a(:\n", "cannot be collected"),
    ],
)
def test_what_breaks_the_dialect_is_refused(tmp_path, body, said):
    with pytest.raises(SourceError, match=said):
        collect(tmp_path, body)


def test_asks_are_found_beside_the_tests(tmp_path):
    (tmp_path / "asks.py").write_text("def both(student):\n    return 1\n")
    (case,) = collect(
        tmp_path, 'from asks import both\n\n@task("mean")\ndef test_a(student):\n    """True."""\n    return both\n'
    )
    assert case.function(None).__module__ == "asks"


def test_an_edited_file_is_read_anew(tmp_path):
    assert len(collect(tmp_path, '@task("a")\ndef test_a(student):\n    """True."""\n')) == 1
    assert [c.name for c in collect(tmp_path, '@task("a")\ndef test_new(student):\n    """True."""\n')] == ["test_new"]


def test_a_failing_assert_never_prints_its_operands(tmp_path):
    (case,) = collect(
        tmp_path, '@task("a")\ndef test_a(student):\n    """True."""\n    hidden = 41999\n    assert hidden == 3\n'
    )
    with pytest.raises(AssertionError) as failure:
        case.function(None)
    assert "41999" not in str(failure.value)
