"""Every assignment has passed its author's gate with the files that stand here today."""

from pathlib import Path

import pytest

from autograder.authoring.findings import kept_calibration
from autograder.authoring.release import release
from autograder.authoring.verify import calibration_hash
from autograder.course import Course
from autograder.grading.material import author_of
from autograder.grading.run import grade
from autograder.sandbox import outer
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.session import SandboxTransport
from autograder.testing.modules import without_test_cells

pytestmark = pytest.mark.course

ROOT = Path(__file__).parents[2]
NAMES = [assignment.id for assignment in Course.load(ROOT)]


def solved(assignment) -> str:
    """The reference as a student would have written it."""
    text = without_test_cells((assignment.solution_folder / "source.py").read_text(encoding="utf-8"))
    return "\n".join(
        line for line in text.splitlines() if "## BEGIN SOLUTION" not in line and "## END SOLUTION" not in line
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_kept_measurement_is_of_todays_files(name):
    course = Course.load(ROOT)
    assignment = course.assignment(name)
    author = author_of(assignment)
    kept = kept_calibration(author)
    assert kept, f"autograder verify {assignment.short}"
    assert kept.hash == calibration_hash(course, assignment, author), f"autograder verify {assignment.short}"
    assert set(kept.trivial.values()) == {0.0}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gets_full_marks_by_every_road(course, name):
    """The loopback, a forked child and bubblewrap make the same report. Training takes the first road only."""
    assignment = course.assignment(name)
    assignment.module_path.write_text(solved(assignment))
    reports = []
    for mode in ("fork", *(() if outer.probe() else ("bubblewrap",))):
        with SandboxTransport.start(mode, assignment.requires, (assignment.folder,), packages=course.packages) as road:
            reports.append(grade(course, assignment, road, kept=reports))
    reports.append(grade(course, assignment, LoopbackTransport(), kept=reports))
    for report in reports:
        assert [test.id for test in report.tests if test.outcome not in ("passed", "skipped")] == []
        assert report.points == pytest.approx(report.max_points)


def test_what_is_committed_is_what_the_sources_release():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    found = release(ROOT, check=True)
    assert found.differs == (), "autograder release, then commit assignments/"
