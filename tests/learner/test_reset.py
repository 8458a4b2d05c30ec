"""Beginning afresh, with nothing lost."""

import pytest

from autograder.errors import AutograderError, CourseError, EnvironmentProblem, SubmissionError
from autograder.learner import reset as resetting
from autograder.learner.progress import Progress
from autograder.learner.reset import reset
from autograder.learner.solution import access, solution_of, which_task

MINE = '"""Mine."""\n\n\ndef mean(xs):\n    return 1 / 2\n\n\nPI = 3\n\n\ndef running_mean(xs):\n    return [len(xs)]\n'


@pytest.fixture
def assignment(toy_course):
    return toy_course.assignment("t01")


def edit(assignment, text=MINE):
    assignment.module_path.write_text(text, encoding="utf-8")


def test_an_edited_module_is_backed_up_and_the_stub_laid(toy_course, assignment):
    stub = assignment.module_path.read_text(encoding="utf-8")
    edit(assignment)
    done = reset(toy_course, assignment)
    assert assignment.module_path.read_text(encoding="utf-8") == stub
    assert (done.backup / "means.py").read_text(encoding="utf-8") == MINE


def test_a_pristine_module_is_left_alone(toy_course, assignment):
    done = reset(toy_course, assignment)
    assert (done.backup, done.files) == (None, ())
    assert not (toy_course.state / "backups").exists()


def test_a_deleted_module_comes_back(toy_course, assignment):
    assignment.module_path.unlink()
    assert reset(toy_course, assignment).files == (assignment.module_path,)
    assert "raise NotImplementedError" in assignment.module_path.read_text(encoding="utf-8")


def test_two_resets_in_one_second_keep_both_backups(toy_course, assignment):
    edit(assignment, "first = 1\n")
    one = reset(toy_course, assignment).backup
    edit(assignment, "second = 2\n")
    two = reset(toy_course, assignment).backup
    assert one != two
    assert (one / "means.py").read_text(encoding="utf-8") == "first = 1\n"
    assert (two / "means.py").read_text(encoding="utf-8") == "second = 2\n"


def test_a_notebook_moves_into_the_backup_with_the_rest(toy_course, assignment):
    assignment.notebook_path.write_text("{damaged", encoding="utf-8")
    done = reset(toy_course, assignment)
    assert not assignment.notebook_path.exists()
    assert (done.backup / "means.ipynb").read_text(encoding="utf-8") == "{damaged"


def test_bytes_that_are_no_text_are_kept_as_they_were(toy_course, assignment):
    assignment.module_path.write_bytes(b"\xff\xfe\x00")
    done = reset(toy_course, assignment)
    assert (done.backup / "means.py").read_bytes() == b"\xff\xfe\x00"


def test_one_task_is_reset_and_the_rest_stays(toy_course, assignment):
    edit(assignment)
    done = reset(toy_course, assignment, assignment.task("mean"))
    text = assignment.module_path.read_text(encoding="utf-8")
    assert "return 1 / 2" not in text
    assert "raise NotImplementedError" in text
    assert text.endswith("PI = 3\n\n\ndef running_mean(xs):\n    return [len(xs)]\n")
    assert (done.backup / "means.py").read_text(encoding="utf-8") == MINE


def test_lines_are_counted_as_python_counts_them(toy_course, assignment):
    edit(assignment, 'text = """\x0c\u2028"""\n' + MINE)
    reset(toy_course, assignment, assignment.task("running_mean"))
    text = assignment.module_path.read_text(encoding="utf-8")
    assert text.startswith('text = """\x0c\u2028"""\n"""Mine."""')
    assert "return 1 / 2" in text
    assert "return [len(xs)]" not in text


@pytest.mark.parametrize(("text", "said"), [("def mean(:\n", "not Python"), ("x = 1\n", "no mean in the file")])
def test_one_task_of_a_file_that_has_none_is_refused_with_the_way_out(toy_course, assignment, text, said):
    edit(assignment, text)
    with pytest.raises(SubmissionError, match=said) as refused:
        reset(toy_course, assignment, assignment.task("mean"))
    assert "autograder reset t01" in refused.value.mend
    assert assignment.module_path.read_text(encoding="utf-8") == text


def test_one_task_beside_a_notebook_is_refused(toy_course, assignment):
    edit(assignment)
    assignment.notebook_path.write_text("{}", encoding="utf-8")
    with pytest.raises(SubmissionError, match="there is a notebook"):
        reset(toy_course, assignment, assignment.task("mean"))


def test_without_the_pristine_stub_nothing_is_changed(toy_course, assignment):
    edit(assignment)
    (assignment.folder / ".stub.py").unlink()
    with pytest.raises(CourseError, match="pristine stub"):
        reset(toy_course, assignment)
    assert assignment.module_path.read_text(encoding="utf-8") == MINE


def test_where_no_backup_can_be_written_nothing_is_reset(toy_course, assignment, monkeypatch):
    edit(assignment)

    def full(*_):
        raise OSError(28, "No space left on device", "backups")

    monkeypatch.setattr(resetting.shutil, "copy2", full)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        reset(toy_course, assignment)
    assert assignment.module_path.read_text(encoding="utf-8") == MINE


def test_the_solution_is_closed_at_first_and_names_the_hint(toy_course, assignment, report_of):
    report = report_of(mean="failed")
    with pytest.raises(AutograderError, match="0 of 3 read") as refused:
        access(assignment, assignment.task("mean"), report, Progress.load(toy_course))
    assert refused.value.mend == "autograder hint t01.mean"


def test_the_solution_opens_for_what_passes(toy_course, assignment, report_of):
    report = report_of(mean="passed", running_mean="failed")
    assert access(assignment, assignment.task("mean"), report, Progress.load(toy_course)) == "open"
    with pytest.raises(AutograderError, match="opens once it passes"):
        access(assignment, assignment.task("running_mean"), report, Progress.load(toy_course))


def test_after_all_hints_the_solution_asks_for_a_confirmation(toy_course, assignment):
    progress = Progress.load(toy_course)
    progress.hints["t01_numbers.mean"] = 3
    assert access(assignment, assignment.task("mean"), None, progress) == "confirm"


def test_the_solution_is_the_function_alone_without_marks(assignment):
    text = solution_of(assignment, assignment.task("mean"))
    assert text.startswith("def mean(")
    assert "math.fsum(xs) / len(xs)" in text
    assert "SOLUTION" not in text
    assert "running_mean" not in text


def test_the_solution_of_a_class_is_the_whole_class(toy_course):
    assignment = toy_course.assignment("t02")
    text = solution_of(assignment, assignment.task("Tally"))
    compile(text, "tally", "exec")
    assert text.startswith("class Tally")
    assert "NotImplementedError" not in text


def test_a_kit_has_no_solutions_and_says_so(kit):
    from autograder.course import Course

    assignment = Course.load(kit).assignment("t01")
    with pytest.raises(CourseError, match="not in this kit"):
        solution_of(assignment, assignment.task("mean"))


def test_several_tasks_leave_a_doubt(assignment):
    with pytest.raises(AutograderError, match="several tasks"):
        which_task(assignment)
