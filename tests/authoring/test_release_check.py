"""`release --check` compares a fresh build with what is committed, and never with the working tree."""

import subprocess

import pytest

from autograder.authoring import staging
from autograder.authoring.release import release
from autograder.errors import ReleaseError


def git(root, *arguments):
    names = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *names, *arguments], check=True, capture_output=True)


def commit(root):
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--message", "state")


@pytest.fixture(autouse=True)
def _kept_records(released_toy, monkeypatch):
    """Running the mistakes is most of a release's time, and no test here changes them."""
    monkeypatch.setattr(
        staging,
        "_diagnosis",
        lambda author, assignment: (
            released_toy / "assignments" / assignment.id / ".diagnosis.safetensors"
        ).read_bytes(),
    )


@pytest.fixture
def committed(toy):
    git(toy, "init", "--quiet")
    commit(toy)
    return toy


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_committed_release_is_clean(committed):
    result = release(committed, check=True)
    assert result.clean
    assert (result.edited, result.advice) == ((), ())
    assert result.same == 19


def test_the_working_tree_is_neither_read_nor_written(committed):
    stub = committed / "assignments/t01_numbers/means.py"
    stub.write_text("mine\n")
    (committed / "assignments/t01_numbers/README.md").unlink()
    assert release(committed, check=True).clean
    assert stub.read_text() == "mine\n"
    assert not (committed / "assignments/t01_numbers/README.md").exists()


def test_a_changed_source_is_named_by_the_files_it_changes(committed):
    replace(committed / "solutions/t01_numbers/source.py", "Add all numbers up", "Sum all numbers")
    result = release(committed, check=True)
    assert not result.clean
    assert [line.split(":")[0] for line in result.differs] == ["t01_numbers/.notebook.json", "t01_numbers/README.md"]
    assert any("autograder release" in line for line in result.advice)
    release(committed)
    assert not release(committed, check=True).clean, "released, but not committed"
    commit(committed)
    assert release(committed, check=True).clean


def test_a_file_that_is_not_committed_is_named(committed):
    git(committed, "rm", "--quiet", "assignments/t01_numbers/.quiz.json")
    commit(committed)
    assert release(committed, check=True).differs == ("t01_numbers/.quiz.json: not committed",)


def test_a_committed_answer_is_no_fault(committed):
    (committed / "assignments/t01_numbers/means.py").write_text("def mean(xs):\n    return 1\n")
    commit(committed)
    result = release(committed, check=True)
    assert result.clean
    assert result.edited == ("t01_numbers/means.py",)


def test_a_committed_older_release_is_a_fault(committed):
    old = (committed / "assignments/t01_numbers/means.py").read_bytes()
    replace(committed / "solutions/t01_numbers/source.py", "import math\n", "import math  # for fsum\n")
    release(committed)
    (committed / "assignments/t01_numbers/means.py").write_bytes(old)
    commit(committed)
    assert release(committed, check=True).differs == ("t01_numbers/means.py: not what its source says now",)


def test_an_assignment_that_left_the_course_is_named(committed):
    replace(committed / "solutions/course.toml", ', "t02_lists"', "")
    differs = release(committed, check=True).differs
    assert "t02_lists/lists.py: no longer released" in differs


def test_a_course_inside_a_larger_repository_is_found(committed, tmp_path):
    inner = tmp_path / "outer" / "courses" / "toy"
    inner.parent.mkdir(parents=True)
    committed.rename(inner)
    subprocess.run(["rm", "-r", str(inner / ".git")], check=True)
    git(tmp_path / "outer", "init", "--quiet")
    commit(tmp_path / "outer")
    assert release(inner, check=True).clean


def test_outside_git_it_is_refused(toy):
    with pytest.raises(ReleaseError, match="no git repository"):
        release(toy, check=True)


def test_before_the_first_commit_it_is_refused(toy):
    git(toy, "init", "--quiet")
    with pytest.raises(ReleaseError, match="nothing is committed"):
        release(toy, check=True)
