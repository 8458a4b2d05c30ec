"""A kit holds what a student needs and nothing of what is not theirs; it never overwrites anything else."""

import json
import re
import shutil
from pathlib import Path

import pytest

from autograder.authoring.release import release
from autograder.classroom import kit as kits
from autograder.classroom.kit import write_kit
from autograder.errors import ReleaseError
from autograder.testing.modules import load_file

ROOT = Path(__file__).parents[2]
look = load_file(Path(__file__).with_name("looking.py"), "looking")
STUB = "assignments/t01_numbers/means.py"


def assert_nothing_leaks(kit: Path, solutions: Path) -> None:
    """No solution, hidden test, mistake, alternative, or their history."""
    files = look.files_of(kit)
    everything = "\n".join(files.values())
    assert not [name for name in files if set(Path(name).parts) & {"solutions", ".git", "tests", "calibration.json"}]
    authors = {"hidden_tests.py", "mistakes.py", "alternatives.py", "source.py", "calibration.json", "quiz.toml"}
    assert [name for name in files if Path(name).name in authors and "autograder/" not in name] == []
    words = set(re.findall(r"\w+", everything))
    assert look.hidden_test_names(solutions) & words == set()
    students = [t for name, t in files.items() if not name.startswith("autograder/") and "safetensors" not in name]
    shipped = set().union(*(look.fragments(text, 2) for text in students))
    bodies = [body for bodies in look.reference_regions(solutions).values() for body in bodies] + look.bank_bodies(
        solutions
    )
    solved = [pair for body in bodies for pair in look.fragments(body, 2) if len(pair[0]) + len(pair[1]) > 40]
    given = set().union(*(look.fragments(text, 2) for text in given_code(solutions)))
    assert solved
    assert [pair for pair in solved if pair in shipped and pair not in given] == []


def given_code(solutions: Path) -> list[str]:
    """What an author gives to students as it is: everything of a source but what stands between the marks."""
    found = [path.read_text(encoding="utf-8") for path in solutions.glob("common/*.py")]
    found += [path.read_text(encoding="utf-8") for path in solutions.glob("*/asks.py")]
    for path in solutions.glob("*/source.py"):
        found += [part.partition("### END SOLUTION")[2] for part in
                  ("### END SOLUTION" + path.read_text(encoding="utf-8")).split("### BEGIN SOLUTION")]  # fmt: skip
    return found


def test_the_toy_kit_holds_no_answer(toy_kit, released_toy):
    assert_nothing_leaks(toy_kit, released_toy / "solutions")
    single = {line.strip() for text in look.files_of(toy_kit).values() for line in text.splitlines()}
    lines = [line for bodies in look.reference_regions(released_toy / "solutions").values() for body in bodies
             for (line,) in look.fragments(body, 1)]  # fmt: skip
    assert len(lines) > 3
    assert [line for line in lines if line in single] == [], (
        "in a course this small not one line of an answer is shipped"
    )


def test_the_look_for_leaks_sees_them(own_kit, released_toy):
    solutions = released_toy / "solutions"
    path = own_kit / "docs" / "note.md"
    path.parent.mkdir(exist_ok=True)
    for leak in (min(look.hidden_test_names(solutions)), max(look.bank_bodies(solutions), key=len),
                 max(look.reference_regions(solutions)["t01_numbers"], key=len)):  # fmt: skip
        path.write_text(leak)
        with pytest.raises(AssertionError):
            assert_nothing_leaks(own_kit, solutions)


@pytest.fixture(scope="module")
def course_kit(tmp_path_factory):
    """The kit of the real course, made from the released files as they are committed beside their sources."""
    folder = tmp_path_factory.mktemp("course") / "kit"
    released = {
        path.relative_to(ROOT / "assignments").as_posix(): path.read_bytes()
        for path in (ROOT / "assignments").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".released.json"
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kits, "built", lambda root, tell: (released, ()))
        write_kit(ROOT, folder)
    return folder


@pytest.mark.course
def test_the_kit_of_the_course_holds_no_answer(course_kit):
    assert_nothing_leaks(course_kit, ROOT / "solutions")


@pytest.mark.course
def test_every_relative_link_of_the_kit_of_the_course_leads_somewhere(course_kit):
    pages = list((course_kit / "docs").rglob("*.md"))
    assert len(pages) > 10
    assert look.dead_links(course_kit) == []
    text = (course_kit / "docs/learn/a02_attention.md").read_text()
    assert "](../../assignments/a02_attention/README.md#" in text, "a handout is linked where it is"
    assert '<img src="figures/a02_scaling.svg" alt="Measured on random queries' in text
    raw = [page.name for page in pages if "--8<--" in page.read_text() or "\n??? " in page.read_text()]
    assert raw == [], "nothing of the site's own dialect is left"


def test_every_relative_link_of_the_toy_kit_leads_somewhere(toy_kit):
    assert look.dead_links(toy_kit) == []


def test_dead_links_are_seen(own_kit):
    (own_kit / "x.md").write_text('[a](nowhere.md) ![b](no.svg) <img src="gone.svg"> [c](README.md#x) [d](https://e.f)')
    assert look.dead_links(own_kit) == ["x.md: nowhere.md", "x.md: no.svg", "x.md: gone.svg"]


def test_a_kit_works_by_itself(own_kit, command):
    """Its own engine, from its own folder: check, board, notebook, quiz, hint, and what is not there says so."""
    done = command(own_kit, "check", "t01")
    assert (done.returncode, done.stderr) == (1, "")
    path = own_kit / STUB
    text = path.read_text().replace("# YOUR CODE HERE\n    raise NotImplementedError()", "return math.fsum(xs)", 1)
    path.write_text(text)
    said = command(own_kit, "check", "t01.mean").stdout
    assert "hidden tests will also count" in said or "also count" in said
    assert command(own_kit, "status").returncode == 0
    made = command(own_kit, "notebook", "t01")
    assert made.returncode == 0, made.stderr
    assert "math.fsum(xs)" in (own_kit / "assignments/t01_numbers/means.ipynb").read_text()
    assert command(own_kit, "hint", "t01.mean").returncode == 0
    refused = command(own_kit, "solution", "t01.mean")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert command(own_kit, "release").returncode == 2


def test_the_two_commands_of_the_readme_exist(toy_kit, command):
    text = (toy_kit / "README.md").read_text()
    assert "\nmake grade\n" in text
    assert "\nautograder check t01\n" in text
    makefile = (toy_kit / "Makefile").read_text()
    assert "grade: ready\n" in makefile
    for name in ("pyproject.toml", "constraints.txt", "autograder/bootstrap.py", "autograder/reporting/page.css"):
        assert (toy_kit / name).is_file(), "what `make grade` needs"
    known = command(toy_kit, "--help").stdout
    for line in text.splitlines():
        if line.startswith("| `autograder "):
            assert f" {line.split()[2].strip('`')} " in known, line


def test_agents_are_told_to_tutor(toy_kit):
    text = (toy_kit / "AGENTS.md").read_text()
    for rule in ("Ask first", "Never the answer before the third hint", "unless you are asked", "autograder hint"):
        assert rule in text
    assert "AGENTS.md" in (toy_kit / "README.md").read_text()


def test_a_second_release_changes_nothing(own_kit, released_toy):
    before = look.files_of(own_kit)
    result = write_kit(released_toy, own_kit)
    assert (result.written, result.laid, result.kept) == ((), (), ())
    assert look.files_of(own_kit) == before


def test_pristine_files_are_updated_and_edited_ones_kept(own_kit, toy):
    stub, readme = own_kit / STUB, own_kit / "README.md"
    stub.write_text("mine = 1\n")
    source = toy / "solutions/t01_numbers/source.py"
    source.write_text(source.read_text().replace("import math\n", "import math  # for fsum\n"))
    plan = toy / "solutions/course.toml"
    plan.write_text(plan.read_text().replace("Numbers and lists", "Beginnings"))
    result = write_kit(toy, own_kit)
    assert stub.read_text() == "mine = 1\n"
    assert result.laid == (STUB,)
    assert "# for fsum" in stub.with_name("means.py.new").read_text()
    assert "Beginnings" in readme.read_text()
    readme.write_text("my own words")
    plan.write_text(plan.read_text().replace("Beginnings", "Endings"))
    assert "README.md" in write_kit(toy, own_kit).laid
    assert readme.read_text() == "my own words"
    assert "Endings" in (own_kit / "README.md.new").read_text()


def test_what_the_student_added_stays_and_what_is_no_longer_shipped_goes(own_kit, released_toy):
    old, edited, mine = (own_kit / f"autograder/{name}.py" for name in ("an_old_module", "another", "mine"))
    manifest = own_kit / kits.KIT_FILE
    data = json.loads(manifest.read_text())
    for path in (old, edited, mine):
        path.write_text("x = 1\n")
        if path != mine:
            data["files"][path.relative_to(own_kit).as_posix()] = [kits.fingerprint(b"x = 1\n")]
    manifest.write_text(json.dumps(data))
    edited.write_text("x = 2\n")
    write_kit(released_toy, own_kit)
    assert not old.exists(), "an old module of the engine would still be imported"
    assert edited.exists()
    assert mine.exists()


def test_what_the_author_typed_into_assignments_does_not_travel(toy, tmp_path):
    (toy / STUB).write_text("def mean(xs):\n    return 'the answer of the instructor'\n")
    (toy / "assignments/t01_numbers/means.ipynb").write_text("{}")
    (toy / ".autograder").mkdir(exist_ok=True)
    write_kit(toy, tmp_path / "kit")
    assert "YOUR CODE HERE" in (tmp_path / "kit" / STUB).read_text()
    assert not (tmp_path / "kit/assignments/t01_numbers/means.ipynb").exists()
    assert not (tmp_path / "kit/.autograder").exists()


def other_things(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")


def a_file(folder):
    folder.write_text("a file")


def an_instructor_clone(folder):
    folder.mkdir()
    (folder / kits.KIT_FILE).write_text("{}")
    (folder / "solutions").mkdir()


def a_link_to_nowhere(folder):
    folder.symlink_to(folder.with_name("gone"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (other_things, "holds something else (thesis.tex)"),
        (a_file, "is no folder"),
        (an_instructor_clone, "holds solutions/"),
        (a_link_to_nowhere, "is no folder"),
    ],
)
def test_a_folder_of_something_else_is_refused(released_toy, tmp_path, monkeypatch, make, says):
    monkeypatch.setattr(kits, "built", lambda *_: pytest.fail("refused before anything is made"))
    folder = tmp_path / "there"
    make(folder)
    before = look.files_of(tmp_path)
    with pytest.raises(ReleaseError, match=re.escape(says)) as refused:
        write_kit(released_toy, folder)
    assert refused.value.mend
    assert look.files_of(tmp_path) == before


@pytest.mark.parametrize("place", [".", "..", "solutions", "assignments/kit", "autograder"])
def test_a_kit_does_not_lie_in_the_course(toy, place):
    with pytest.raises(ReleaseError, match="where the course itself is"):
        write_kit(toy, toy / place)


def test_an_empty_repository_is_a_fine_place(released_toy, tmp_path):
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    write_kit(released_toy, tmp_path / "repo")
    assert (tmp_path / "repo" / "README.md").is_file()


def test_the_kit_of_another_course_is_refused(own_kit, toy):
    plan = toy / "solutions/course.toml"
    plan.write_text(plan.read_text().replace('title = "Toys"', 'title = "Tools"'))
    with pytest.raises(ReleaseError, match="another course"):
        write_kit(toy, own_kit)


def test_a_link_inside_the_kit_leads_nothing_astray(own_kit, released_toy, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(own_kit / "assignments/t01_numbers")
    (own_kit / "assignments/t01_numbers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match="link to another place"):
        write_kit(released_toy, own_kit)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_command_says_what_it_did(toy, tmp_path, command):
    done = command(toy, "release", "--to", str(tmp_path / "kit"), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert "The kit is in" in done.stdout
    again = command(toy, "release", "--to", str(tmp_path / "kit"), "--check", PYTHONPATH=str(ROOT))
    assert again.returncode == 2
    assert "different releases" in again.stderr


def test_pages_of_the_site_become_plain_ones(tmp_path):
    from autograder.classroom.reading import reading_pages

    learn = tmp_path / "docs" / "learn"
    (learn / "figures").mkdir(parents=True)
    (learn / "figures" / "one.svg").write_text("<svg><desc>A line &amp; a dot.</desc></svg>")
    (learn / "aloud.txt").write_text("Say it aloud.\n")
    (learn / "a01_x.md").write_text(
        '# X\n\n--8<-- "learn/aloud.txt"\n\n<figure markdown="0">\n--8<-- "learn/figures/one.svg"\n</figure>\n\n'
        '??? note "An <answer>"\n\n    Inside, [here](a02_y.md).\n\n    ```python\n    xs[0](1)\n    ```\nAfter.\n\n'
        "!!! note\n    Mind.\n\n[the handout](handouts/a01_x.md#task) [the gate](../reference/gate.md) "
        "[words](../explain/glossary.md)\n\nTerm\n:   What it means.\n"
    )
    (tmp_path / "docs" / "explain").mkdir()
    (tmp_path / "docs" / "explain" / "glossary.md").write_text("# Words\n")
    (tmp_path / "docs" / "reference").mkdir()
    (tmp_path / "docs" / "reference" / "gate.md").write_text("test_hidden_one\n")
    pages = reading_pages(tmp_path, {"a01_x/README.md": b""})
    assert set(pages) == {"docs/learn/a01_x.md", "docs/explain/glossary.md", "docs/learn/figures/one.svg"}
    text = pages["docs/learn/a01_x.md"].decode()
    for line in (
        "Say it aloud.",
        '<img src="figures/one.svg" alt="A line &amp; a dot.">',
        "<details><summary>An &lt;answer&gt;</summary>",
        "Inside, here.",
        "xs[0](1)",
        "</details>",
        "> **Note**",
        "> Mind.",
        "[the handout](../../assignments/a01_x/README.md#task) the gate [words](../explain/glossary.md)",
        "**Term**: What it means.",
    ):
        assert f"{line}\n" in text, line
    assert text.index("</details>") < text.index("After.")


def test_functions_of_the_look_are_no_empty_sets(released_toy):
    """The look itself: it finds what is there."""
    solutions = released_toy / "solutions"
    assert "test_the_mean_of_many" in look.hidden_test_names(solutions)
    assert len(look.bank_bodies(solutions)) > 8
    assert look.functions(solutions / "t01_numbers/mistakes.py")


def test_a_release_in_place_is_what_it_was(toy):
    """A kit does not touch the course that it was made from."""
    before = look.files_of(toy)
    write_kit(toy, toy.with_name("kit"))
    assert look.files_of(toy) == before
    assert release(toy).written == ()
