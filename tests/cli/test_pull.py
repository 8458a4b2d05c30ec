"""A student's work survives an update of the course by git, as the guide describes it."""

import subprocess

import pytest

STUB = "assignments/t01_numbers/means.py"


@pytest.fixture
def clone(toy, tmp_path):
    """A student's clone with an edited stub, of a course that has since released another stub."""

    def git(*words: str, where=toy, check=True):
        names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *names, *words], cwd=where, check=check, capture_output=True, text=True)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first release")
    folder = tmp_path / "clone"
    git("clone", "-q", str(toy), str(folder))
    mine = folder / STUB
    mine.write_text(mine.read_text().replace("raise NotImplementedError()", "return 1.0  # mine", 1))
    theirs = toy / STUB
    theirs.write_text(theirs.read_text() + "\n\n# a new task\n")
    git("commit", "-qam", "second release")
    return folder, git


def test_a_pull_never_overwrites_an_edited_stub(clone):
    folder, git = clone
    before = (folder / STUB).read_text()
    pulled = git("pull", "-q", where=folder, check=False)
    assert pulled.returncode != 0
    assert "means.py" in pulled.stderr
    assert (folder / STUB).read_text() == before


def test_set_aside_and_back_again_it_has_both(clone):
    folder, git = clone
    for words in (["stash", "-q"], ["pull", "-q"], ["stash", "pop", "-q"]):
        git(*words, where=folder)
    text = (folder / STUB).read_text()
    assert "# mine" in text
    assert "# a new task" in text
