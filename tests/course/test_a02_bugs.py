"""A student's own bugs in a02, made by editing a right solution: each is recognised, and no pair gets a wrong name.

These edits are written without the bank in mind: what makes a bug recognisable is its answer, not its code.
"""

import itertools

import pytest

from autograder.grading.run import grade
from autograder.sandbox.loopback import LoopbackTransport
from autograder.testing.modules import Author, without_test_cells

pytestmark = [pytest.mark.course, pytest.mark.slow]

EDITS = {
    "causal_mask": {
        "upper_left": ("torch.arange(T_q)[:, None] + (T_k - T_q)", "torch.arange(T_q)[:, None]"),
        "diagonal_hidden": ("return key_place <= query_place", "return key_place < query_place"),
        "inverted": ("return key_place <= query_place", "return key_place > query_place"),
        "one_too_many": ("key_place = torch.arange(T_k)", "key_place = torch.arange(T_k) - 1"),
    },
    "attention": {
        "no_scale": ("scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])", "scores = q @ k.transpose(-2, -1)"),
        "scale_by_d": ("/ math.sqrt(q.shape[-1])", "/ q.shape[-1]"),
        "softmax_over_queries": (".softmax(dim=-1)", ".softmax(dim=-2)"),
        "mask_inverted": (
            'raise ValueError(f"the mask is bool, True = may attend; this one is {mask.dtype}")',
            "raise ValueError('float mask')\n    mask = None if mask is None else ~mask",
        ),
        "masked_row_uniform": ("weights = weights.masked_fill(~mask, 0.0)", "pass"),
    },
    "rope": {
        "positions_ignored": (
            "angle = positions[..., None] * frequency",
            "angle = torch.arange(T)[:, None] * frequency",
        ),
        "wrong_exponent": ("base ** (-2 * torch", "base ** (-1 * torch"),
        "rotates_backwards": (
            "[first * cos - second * sin, first * sin + second * cos]",
            "[first * cos + second * sin, second * cos - first * sin]",
        ),
    },
    "MultiHeadAttention": {
        "view_without_transpose": (
            ".view(B, T, H, d).transpose(1, 2)",
            ".view(B, H, T, d)",
            "y.transpose(1, 2).reshape(B, T, D)",
            "y.reshape(B, T, D)",
        ),
        "no_output_projection": (
            "return self.o_proj(y.transpose(1, 2).reshape(B, T, D))",
            "return y.transpose(1, 2).reshape(B, T, D)",
        ),
    },
    "attention_with_cache": {
        "positions_restart": ("torch.arange(T_past, T_past + T_new)", "torch.arange(T_new)"),
        "mask_upper_left": ("causal_mask(T_new, T_past + T_new))", "torch.ones(T_new, T_past + T_new).tril().bool())"),
        "no_mask_in_chunk": ("y = attention(q, k, v, causal_mask(T_new, T_past + T_new))", "y = attention(q, k, v)"),
    },
}
SINGLE = [(task, name) for task, edits in EDITS.items() for name in edits]
SAME_TASK = [(task, pair) for task, edits in EDITS.items() for pair in itertools.combinations(edits, 2)]
ACROSS = [
    ("attention", "no_scale", "MultiHeadAttention", "no_output_projection"),
    ("attention", "softmax_over_queries", "attention_with_cache", "positions_restart"),
    ("rope", "wrong_exponent", "MultiHeadAttention", "no_output_projection"),
    ("rope", "rotates_backwards", "attention_with_cache", "no_mask_in_chunk"),
    ("causal_mask", "upper_left", "attention_with_cache", "positions_restart"),
    ("causal_mask", "diagonal_hidden", "attention", "scale_by_d"),
]


@pytest.fixture(scope="module")
def recognised(course):
    """(task, mistake) for every recognition in a solution with the given edits, tests of the given tasks only."""
    assignment = course.assignment("a02")
    author = Author(assignment.solution_folder)
    twins = {item.id: {item.id, *item.twin} for item in author.mistakes}
    source = without_test_cells((assignment.solution_folder / "source.py").read_text(encoding="utf-8"))

    def run(*edits: tuple[str, str]) -> tuple[dict[str, set[str]], list[tuple[str, str]], float]:
        text = source
        for task, name in edits:
            words = EDITS[task][name]
            for old, new in zip(words[::2], words[1::2], strict=True):
                if old not in text:
                    pytest.skip("the two edits touch the same words")
                text = text.replace(old, new)
        assignment.module_path.write_text(text)
        tasks = {task for task, _ in edits}
        only = assignment.task(edits[0][0]) if len(tasks) == 1 else None
        report = grade(course, assignment, LoopbackTransport(), task=only)
        found = [(test.task, test.mistake.id) for test in report.tests if test.mistake]
        return twins, found, sum(test.max_points - test.points for test in report.tests)

    return run


@pytest.mark.parametrize(("task", "name"), SINGLE)
def test_a_bug_is_caught_and_recognised(recognised, task, name):
    twins, found, lost = recognised((task, name))
    assert lost > 0
    assert {mistake for _, mistake in found} <= twins[name]
    assert found, "caught, but not recognised"


@pytest.mark.parametrize(("task", "pair"), SAME_TASK, ids=str)
def test_two_bugs_in_one_function_get_no_wrong_name(recognised, task, pair):
    twins, found, lost = recognised((task, pair[0]), (task, pair[1]))
    assert lost > 0 or pair == ("diagonal_hidden", "one_too_many")  # these two undo each other
    assert {mistake for _, mistake in found} <= twins[pair[0]] | twins[pair[1]]


@pytest.mark.parametrize(("task", "name", "other_task", "other"), ACROSS)
def test_bugs_in_two_functions_get_no_wrong_name(recognised, task, name, other_task, other):
    twins, found, lost = recognised((task, name), (other_task, other))
    assert lost > 0
    assert {mistake for found_in, mistake in found if found_in == task} <= twins[name]
    assert {mistake for found_in, mistake in found if found_in == other_task} <= twins[other]
