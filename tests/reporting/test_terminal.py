"""The board and the screen, rendered from reports made by hand."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from autograder.course import Task
from autograder.report import NOT_WRITTEN, Figure
from autograder.reporting.style import ASCII, UNICODE
from autograder.reporting.terminal import board, screen

WIDTHS = (60, 80, 120)


def text_of(what, width=80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, color_system=None).print(what)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_untouched_stubs_show_no_points_and_one_clear_first_step(assignment, progress, untouched):
    text = text_of(screen(untouched, assignment, progress))
    assert "0 of 12 points" in text
    assert text.count(NOT_WRITTEN) == 4
    assert "Fix first" not in text
    assert "Write causal_mask (10 min) in assignments/a02_attention/attention.py, then" in text
    assert text.splitlines()[-1].endswith("autograder check a02")


def test_halfway_the_first_thing_to_fix_is_shown_with_its_reason(assignment, progress, halfway):
    text = text_of(screen(halfway, assignment, progress))
    assert "Fix first: attention" in text
    assert "Scores are divided by the square root of the head size." in text
    assert "gave 0.7311 at [0, 0, 1]" in text
    assert "shape (2, 3, 4)" in text
    assert text.splitlines()[-1].endswith("autograder hint a02.attention  the first of 3 hints")


def test_what_a_known_mistake_equals_is_said_only_after_a_hint(assignment, progress, halfway):
    before = text_of(screen(halfway, assignment, progress))
    assert "The spread of your scores changes" in before
    assert "not divided by the root" not in before
    progress.hints["a02_attention.attention"] = 1
    assert "not divided by the root" in text_of(screen(halfway, assignment, progress))


def test_what_a_known_mistake_equals_is_said_on_the_second_equal_failure(assignment, progress, halfway):
    progress.record(halfway)
    assert "not divided by the root" not in text_of(screen(halfway, assignment, progress))
    progress.record(halfway)
    assert "not divided by the root" in text_of(screen(halfway, assignment, progress))


def test_a_task_that_waits_names_what_it_waits_for(assignment, progress, halfway):
    assert line_with(text_of(screen(halfway, assignment, progress)), "Heads").endswith("waits for attention")


def test_when_all_passes_the_solution_and_the_quiz_are_offered(assignment, progress, all_passed):
    text = text_of(screen(all_passed, assignment, progress))
    assert "12 of 12 points" in text
    assert "All 4 tasks pass." in text
    assert "Fix first" not in text
    assert "autograder quiz a02" in text
    assert "autograder solution a02.causal_mask" in text


def test_what_a_training_reached_is_said_where_it_passed_too(assignment, progress, report_of, test_of):
    few = (Figure("held-out loss", 2.85, 3.2, " bits"), Figure("steps", 48123, None))
    many = tuple(Figure(f"probability ({n} of 5)", 1.0, 1.0) for n in range(1, 6))
    tests = [test_of(task.name, "test_values") for task in assignment.tasks[1:]]
    first = assignment.tasks[0].name
    tests += [test_of(first, "test_it_learns", figures=few), test_of(first, "test_probes", figures=many)]
    text = text_of(screen(report_of(*tests), assignment, progress))
    assert "held-out loss: 2.85 bits, needed 3.2 bits" in text
    assert "steps: 48123" in text
    assert "probability" not in text
    assert "held-out loss" not in text_of(
        screen(report_of(*tests), assignment, progress, task=assignment.tasks[1].name)
    )


def test_a_check_of_one_task_speaks_of_that_task(assignment, progress, halfway):
    text = text_of(screen(halfway, assignment, progress, task="attention_with_cache"))
    assert "Fix first" not in text
    assert "Write attention_with_cache (30 min)" in text
    assert "causal_mask passes." in text_of(screen(halfway, assignment, progress, task="causal_mask"))


def test_a_file_that_cannot_be_loaded_is_the_first_thing_to_fix(assignment, progress, report_of, test_of):
    why = "attention.py cannot be loaded: line 3: invalid syntax"
    report = report_of(*(test_of(t.name, "one", "failed", reason=why) for t in assignment.tasks))
    text = text_of(screen(report, assignment, progress))
    assert "Fix first: the file itself" in text
    assert why in text
    assert "autograder hint" not in text


def test_after_the_last_hint_the_solution_is_offered(assignment, progress, halfway):
    progress.hints["a02_attention.attention"] = 3
    assert (
        text_of(screen(halfway, assignment, progress))
        .splitlines()[-1]
        .startswith("→ autograder solution a02.attention")
    )


def test_a_kit_without_solutions_offers_none(assignment, progress, halfway, all_passed):
    (assignment.solution_folder / "source.py").unlink()
    progress.hints["a02_attention.attention"] = 3
    assert text_of(screen(halfway, assignment, progress)).splitlines()[-1].startswith("→ autograder hint a02.attention")
    assert "autograder solution" not in text_of(screen(all_passed, assignment, progress))


def test_a_fault_of_ours_is_said_to_be_ours(assignment, progress, report_of, test_of):
    report = report_of(test_of("causal_mask", "one", "error", reason="the reference did not answer"))
    text = text_of(screen(report, assignment, progress))
    assert "a test broke on our side" in text
    assert "autograder hint" not in text


def test_in_a_kit_practice_is_counted_and_hidden_tests_are_announced(assignment, progress, report_of, test_of):
    report = report_of(test_of("causal_mask", "one", hidden=False), test_of("attention", "one", "failed", hidden=False))
    text = text_of(screen(replace(report, hidden_elsewhere=10), assignment, progress))
    assert "1 of 2 practice tests" in text
    assert "10 hidden tests will also count" in text
    assert "points" not in text


def test_skipped_practice_does_not_look_like_work(assignment, progress, report_of, test_of):
    skipped = test_of("attention", "library", "skipped", hidden=False, reason="transformers is not installed")
    unwritten = [test_of(t.name, "one", "failed", reason=NOT_WRITTEN) for t in assignment.tasks]
    text = text_of(screen(report_of(skipped, *unwritten), assignment, progress))
    assert "Fix first" not in text
    assert "1 practice test skipped: transformers is not installed" in text


def test_what_was_skipped_is_counted_and_named(assignment, progress, report_of, test_of):
    missing = "could not import 'transformers': No module named 'transformers'"
    tests = [test_of(t.name, "one", hidden=False) for t in assignment.tasks]
    tests += [test_of(name, "library", "skipped", hidden=False, reason=missing) for name in ("attention", "Heads")]
    text = text_of(screen(report_of(*tests, hidden_elsewhere=10), assignment, progress), 120)
    assert text.splitlines()[0].endswith("4 of 6 practice tests, 2 skipped")
    assert "Every practice test that ran passes." in text
    assert "2 practice tests skipped: transformers is not installed (attention, Heads)" in text


def test_in_a_kit_no_question_mark_stands_beside_what_passes(assignment, progress, course, report_of, test_of):
    report = report_of(test_of("causal_mask", "one", hidden=False), hidden_elsewhere=10)
    assert "worth 2" in line_with(text_of(screen(report, assignment, progress)), "✓ ")
    overview = text_of(board(course, {report.assignment: report}))
    assert "?" not in overview
    assert overview.splitlines()[0].endswith("1 of 6 tasks")
    assert line_with(overview, "a02").endswith("1 / 4 tasks")
    assert line_with(overview, "a03").endswith("0 / 1 task")


def test_the_score_of_a_check_of_one_task_is_that_tasks(assignment, progress, halfway, report_of, test_of):
    head = text_of(screen(halfway, assignment, progress, task="attention")).splitlines()[0]
    assert head.startswith("a02.attention ")
    assert head.endswith("2 of 4 points")
    kit = report_of(*(test_of(t.name, "one", hidden=False) for t in assignment.tasks), hidden_elsewhere=10)
    text = text_of(screen(kit, assignment, progress, task="causal_mask"))
    assert text.splitlines()[0].endswith("1 of 1 practice test")
    assert "2 hidden tests will also count" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_check_is_one_screen_however_much_there_is_to_say(assignment, progress, report_of, test_of, width):
    endless = "word " * 3000
    tasks = tuple(replace(assignment.tasks[0], name=f"task_{n}") for n in range(30))
    tests = [test_of(t.name, "one") for t in tasks[:-5]]
    tests += [
        test_of(t.name, "one", "failed", hidden=False, sentence=endless, reason=endless, output=endless * 3, worth=1.0)
        for t in tasks[-5:]
    ]
    many = replace(assignment, tasks=tasks, title=endless[:200])
    report = replace(
        report_of(*tests, notes=(endless, endless, endless)),
        tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in tasks),
    )
    lines = text_of(screen(report, many, progress), width).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["untouched", "halfway", "all_passed"])
def test_screens_fit_and_keep_every_task_name(assignment, progress, course, width, name, request):
    report = request.getfixturevalue(name)
    for view in (screen(report, assignment, progress), board(course, {report.assignment: report})):
        lines = text_of(view, width).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= 40
    for task in assignment.tasks:
        assert task.name in text_of(screen(report, assignment, progress), width)


def test_without_unicode_every_sign_is_ascii(assignment, progress, halfway, course):
    for view in (
        screen(halfway, assignment, progress, symbols=ASCII),
        board(course, {halfway.assignment: halfway}, symbols=ASCII),
    ):
        assert text_of(view).isascii()


def test_a_program_cannot_command_the_terminal(assignment, progress, report_of, test_of):
    nasty = "\x1b[2J\x1b]0;owned\x07gone \u202eevil\x9b31m [bold]plain[/bold]"
    test = test_of("causal_mask", "one", "failed", hidden=False, reason=nasty, output=nasty, sentence=nasty)
    text = text_of(screen(report_of(test), assignment, progress))
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert "[bold]plain[/bold]" in text


def test_the_board_lists_months_assignments_and_points(course, halfway):
    text = text_of(board(course, {halfway.assignment: halfway}))
    assert text.splitlines()[0].endswith("4 of 16 points")
    assert "Month 1 · Month 1: foundations" in text
    assert line_with(text, "a02").endswith("4 / 12")
    assert line_with(text, "a04").endswith("0 / 2")
    assert "Mend attention in assignments/a02_attention/attention.py, then" in text


def test_the_board_opens_the_assignment_that_the_student_is_at(course, all_passed):
    text = text_of(board(course, {all_passed.assignment: all_passed}))
    assert "causal_mask" not in text
    assert "norm" in text
    assert "Write norm (20 min) in assignments/a03_block/block.py, then" in text


def test_the_board_says_which_file_was_edited_since(course, halfway):
    view = board(course, {halfway.assignment: halfway}, stale={"a02_attention"})
    assert text_of(view).count("edited since the last check") == 1


def test_a_bar_is_full_only_for_a_full_score(course, assignment, report_of, test_of):
    almost = report_of(
        *(test_of(t.name, "one", worth=t.points) for t in assignment.tasks[:-1]),
        test_of("attention_with_cache", "one", worth=2.999),
        test_of("attention_with_cache", "two", "failed", worth=0.001, reason="off"),
    )
    line = line_with(text_of(board(course, {almost.assignment: almost})), "a02")
    assert UNICODE.empty in line
    assert line.endswith("11.99 / 12")


def test_a_task_without_any_test_is_not_checked_rather_than_passed(assignment, progress, report_of, test_of):
    more = replace(assignment, tasks=(*assignment.tasks, Task("fresh", "Fresh", 1, 5)))
    text = text_of(screen(report_of(test_of("causal_mask", "one")), more, progress))
    assert line_with(text, "fresh").endswith("not checked yet")
