"""A lab's data and rewards in the student's own words: `grpo_setup(tokenizer, cfg)` and its sisters.

The function stands in the student's module of the assignment that teaches the algorithm, or in a file that `--setup`
names. What it returns replaces ours, part by part:

grpo_setup    {"dataset": [{"prompt", "answer"}], "rewards": [(completions, answer, **kw) -> list of float], "args"}
ppo_setup     {"dataset": [{"input_ids"}], "reward": (text) -> float, "args"}
dpo_setup     {"dataset": [{"prompt", "chosen", "rejected"}], "args"}
qlora_setup   {"dataset": [{"prompt", "completion"}], "args"}

cfg are the lab's settings as plain data; `args` are keyword arguments of the trainer's config class; a text that PPO's
reward is asked about is prompt and answer, up to the answer's end. The code runs here, as the student's own scripts do.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import AutograderError, LabError
from autograder.lab.settings import Kind, Settings

TAUGHT_IN: dict[Kind, str] = {"ppo": "a10", "dpo": "a12", "grpo": "a13", "qlora": "a16"}
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "ppo": ("input_ids",),
    "dpo": ("prompt", "chosen", "rejected"),
    "grpo": ("prompt", "answer"),
    "qlora": ("prompt", "completion"),
}
REWARDS: dict[Kind, str] = {"ppo": "reward", "grpo": "rewards"}
OURS = frozenset({"output_dir", "max_steps", "total_episodes", "save_steps", "save_strategy", "report_to", "use_cpu"})
"""Arguments that decide where a run is kept, how long it is and where it runs: those are the command line's."""


@dataclass(frozen=True)
class Setup:
    """What a hook said; what it left out is None or empty."""

    where: str = ""
    dataset: list[dict[str, Any]] | None = None
    rewards: list[Callable[..., Any]] | None = None
    """Of grpo: TRL's reward functions; of ppo: one, which scores a text."""
    arguments: dict[str, Any] = field(default_factory=dict)

    def config(self, kind: type, ours: Mapping[str, Any]) -> Any:
        """The trainer's config of our arguments and theirs. Raises LabError for one that it does not know."""
        try:
            return kind(**{**ours, **self.arguments})
        except (TypeError, ValueError) as error:
            if not self.arguments:
                raise
            raise LabError(
                f"{kind.__name__} does not take these args: {error}", where=self.where, mend="the args of your hook"
            ) from error


def own_hook(kind: Kind) -> Path | None:
    """The student's module of the assignment that teaches it, where it defines the hook; None outside of a course."""
    try:
        module = Course.load().assignment(TAUGHT_IN[kind]).module_path
        tree = ast.parse(module.read_text(encoding="utf-8"))
    except (AutograderError, OSError, SyntaxError, UnicodeDecodeError):
        return None
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return module if f"{kind}_setup" in names else None


def setup(settings: Settings, tokenizer: Any) -> Setup:
    """Asks the hook of these settings, or gives the empty setup. Raises LabError where it is not what a lab can use."""
    if not settings.setup:
        return Setup()
    path, name = Path(settings.setup), f"{settings.kind}_setup"
    with _beside(path):
        hook = getattr(_module(path), name, None)
        if not callable(hook):
            raise LabError(
                f"there is no function {name} in this file", where=str(path), mend=f"def {name}(tokenizer, cfg)"
            )
        given = _called(lambda: hook(tokenizer, settings.to_json()), path, name)
    return _checked(settings.kind, given, f"{path}: {name}")


def shown(row: Mapping[str, Any], tokenizer: Any) -> tuple[str, str]:
    """A row of a hook's dataset as --dry-run shows it: what is asked, and what would be right."""
    asked = tokenizer.decode(row["input_ids"]) if "input_ids" in row else row["prompt"]
    right = next((row[name] for name in ("answer", "completion", "chosen") if name in row), "what your reward says")
    return str(asked), str(right)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """While this lasts, what lies beside the file, and the course's shared code, can be imported."""
    folders = [str(path.resolve().parent), str(path.resolve().parent.parent)]
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)


def _module(path: Path) -> Any:
    if not path.is_file():
        raise LabError("there is no such file", where=str(path), mend="--setup FILE.py")
    spec = importlib.util.spec_from_file_location("lab_setup", path)
    if spec is None or spec.loader is None:
        raise LabError("this is no Python file", where=str(path), mend="--setup FILE.py")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _called(lambda: loader.exec_module(module), path, "the file")
    return module


def _called(call: Callable[[], Any], path: Path, what: str) -> Any:
    try:
        return call()
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        at = getattr(error, "lineno", None) or (lines[-1] if lines else None)
        raise LabError(
            f"{what} raised {type(error).__name__}: {error}",
            where=f"{path}, line {at}" if at else str(path),
            mend="mend it there",
        ) from error


def _checked(kind: Kind, given: Any, where: str) -> Setup:
    known = {"dataset", "args", *([REWARDS[kind]] if kind in REWARDS else [])}
    if not isinstance(given, dict) or set(given) - known:
        said = ", ".join(map(repr, sorted(map(str, set(given) - known)))) if isinstance(given, dict) else repr(given)
        raise LabError(
            f"this returned {said}", where=where, mend=f"a dictionary with some of: {', '.join(sorted(known))}"
        )
    arguments = dict(given.get("args") or {})
    taken = sorted(OURS & set(arguments))
    if taken:
        raise LabError(f"args may not decide {', '.join(taken)}", where=where, mend="autograder lab --help")
    if kind == "ppo" and given.get("dataset") is not None and "reward" not in given:
        raise LabError("prompts of your own need a reward of your own", where=where, mend='"reward": (text) -> float')
    return Setup(where, _rows(kind, given.get("dataset"), where), _rewards(kind, given, where), arguments)


def _rows(kind: Kind, rows: Any, where: str) -> list[dict[str, Any]] | None:
    if rows is None:
        return None
    rows = list(rows)
    if not rows:
        raise LabError("the dataset has no row", where=where, mend="leave it out for the lab's own sums")
    for number, row in enumerate(rows):
        missing = [name for name in COLUMNS[kind] if not isinstance(row, Mapping) or name not in row]
        if missing:
            columns = ", ".join(COLUMNS[kind])
            raise LabError(
                f"row {number} of the dataset lacks {missing[0]!r}", where=where, mend=f"a row has {columns}"
            )
    return [dict(row) for row in rows]


def _rewards(kind: Kind, given: Mapping[str, Any], where: str) -> list[Callable[..., Any]] | None:
    name = REWARDS.get(kind, "")
    if name not in given:
        return None
    rewards = list(given[name]) if isinstance(given[name], list | tuple) else [given[name]]
    if not rewards or not all(map(callable, rewards)) or (kind == "ppo" and len(rewards) > 1):
        raise LabError(
            f"{name} is no {'function' if kind == 'ppo' else 'list of functions'}", where=where, mend=f"def {name}(...)"
        )
    return rewards
