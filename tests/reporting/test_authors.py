"""What an author sees."""

import io

from rich.console import Console

from autograder.authoring.findings import MistakeRow, Verification
from autograder.authoring.release import ReleaseResult
from autograder.reporting.authors import begun, released, verified


def text_of(what) -> str:
    out = io.StringIO()
    Console(file=out, width=80, highlight=False, color_system=None).print(what)
    return out.getvalue()


def test_a_release_lists_what_it_wrote_and_advises_on_edited_files():
    result = ReleaseResult(written=("a02/x.py",), laid=("a02/y.py",), same=3, advice=("a02/y.py was edited and stays",))
    text = text_of(released(result, check=False))
    assert "1 file written, 3 as they were." in text
    assert "assignments/a02/x.py" in text
    assert "a02/y.py was edited and stays" in text


def test_a_release_check_says_what_differs():
    assert "is what solutions/ says" in text_of(released(ReleaseResult(same=3), check=True))
    text = text_of(released(ReleaseResult(differs=("a02/x.py: not committed",)), check=True))
    assert "is not what solutions/ says" in text
    assert "a02/x.py: not committed" in text


def test_a_verification_without_lapses_shows_its_figures():
    row = MistakeRow("no_scale", "attention", {"test_scale": 1500.0}, [], ["test_scale"])
    found = Verification("a02", {"test_scale": 32}, mistakes=[row], trivial={"zeros": 0.0}, cpu_seconds=1.5)
    text = text_of(verified(found))
    assert "a02 is fit to be given out" in text
    assert "1 mistake: 1 caught, 1 recognised" in text
    assert "1.5e+03 tolerances" in text


def test_a_verification_with_lapses_says_each():
    text = text_of(verified(Verification("a02", lapses=["no_scale passes test_scale", "a hint is missing"])))
    assert "has 2 lapses" in text
    assert "no_scale passes test_scale" in text


def test_a_new_assignment_is_shown_with_what_comes_next(tmp_path):
    folder = tmp_path / "solutions" / "a03_block"
    folder.mkdir(parents=True)
    (folder / "source.py").write_text("", encoding="utf-8")
    text = text_of(begun(tmp_path, folder))
    assert "solutions/a03_block/source.py" in text
    assert "autograder verify a03 --quick" in text
