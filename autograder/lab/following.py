"""What happens beside a training: a row of log a step, an ETA, and an end at a whole step when Ctrl-C is pressed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autograder.lab.record import Record

OnStep = Callable[[int, int, dict[str, float], float], None]
"""Told of each step: its number, of how many, its figures, the seconds that are left at this pace."""


class Interrupted(Exception):
    """Ctrl-C was pressed, and the step that was under way is done and kept."""


class Stop:
    """Whether Ctrl-C was pressed. The second press is no longer waited for."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        def note(*_: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


FIGURES = {
    "reward": ("reward", "objective/scores"),
    "reward_spread": ("reward_std",),
    "zero_spread": ("frac_reward_zero_std",),
    "kl": ("kl", "objective/kl"),
    "entropy": ("entropy", "policy/entropy_avg"),
    "length": ("completions/mean_length",),
    "unended": ("completions/clipped_ratio",),
    "clipped_low": ("clip_ratio/low_mean",),
    "clipped_high": ("clip_ratio/high_mean", "policy/clipfrac_avg"),
    "loss": ("loss", "loss/policy_avg"),
    "value_loss": ("loss/value_avg",),
    "margin": ("rewards/margins",),
    "accuracy": ("rewards/accuracies",),
    "token_accuracy": ("mean_token_accuracy",),
    "chosen_logp": ("logps/chosen",),
    "rejected_logp": ("logps/rejected",),
}
"""Our names for what the trainers log, and theirs."""


def figures_of(logs: dict[str, Any]) -> dict[str, float]:
    """A trainer's row of log in our names; what has none of them is left out."""
    found = {}
    for name, theirs in FIGURES.items():
        value = next((logs[key] for key in theirs if key in logs), None)
        if isinstance(value, int | float):
            found[name] = float(value)
    return found


def follower(record: Record, steps: int, stop: Stop, on_step: OnStep | None, done_before: int = 0) -> Any:
    """A callback for the trainers of transformers and TRL. done_before: steps of an earlier part of the run."""
    from transformers import TrainerCallback

    class Follower(TrainerCallback):  # type: ignore[misc]
        """Writes what each step gave."""

        def __init__(self) -> None:
            self.began = 0.0
            self.first = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            figures = figures_of(logs or {})
            if not figures or "train_runtime" in (logs or {}):
                return
            step = done_before + state.global_step
            record.log(step, figures)
            each = (time.monotonic() - self.began) / max(1, state.global_step - self.first)
            if on_step:
                on_step(step, steps, figures, each * max(0, steps - step))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if stop.asked:
                control.should_save = control.should_training_stop = True
            return control

    return Follower()
