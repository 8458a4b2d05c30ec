"""A graded run of a language model: the grader counts the steps, and asks a model of its own about text that it holds.

Student code trains a model whose class is given, and hands over the weights as plain arrays. Here they are put into the
grader's copy of that class, by name, shape by shape, and this copy is asked about the held-out text. So a table of
counts, a look at the next token or a loss that was reported is of no use. See worlds.py for environments.
Does not stop: more steps than were announced, up to the run's CPU-seconds. The count comes from beside student code.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.testing.graded import GradedRun
from autograder.testing.student import BudgetExceeded, Counted, WrongAnswer

CURVE_POINTS = 10
CURVE_TOKENS = 4_096
AT_ONCE = 32
"""Windows that go through the model together."""


def take_weights(model: nn.Module, weights: Any) -> None:
    """Puts weights, plain arrays by name, into the grader's own model. Fails where they are not those of its class."""
    wanted = model.state_dict()
    if not isinstance(weights, dict) or set(weights) != set(wanted):
        raise WrongAnswer("The weights have other names than those of the class that should be trained.")
    for name, tensor in wanted.items():
        if not isinstance(weights[name], Tensor) or weights[name].shape != tensor.shape:
            raise WrongAnswer(f"The weights {name} have another shape than those of the class.")
        if not weights[name].isfinite().all():
            raise WrongAnswer(f"The weights {name} hold numbers that are not finite.")
    model.load_state_dict(weights)


class Reader:
    """One graded run's model, and the text that it is asked about.

    model: the grader's own, of the class that is trained; its weights are replaced. held_out: (n,) ids. context: tokens
    that the model reads at once. steps: optimiser steps that may be taken; tokens: how many tokens each may read.
    """

    def __init__(
        self, run: GradedRun, model: nn.Module, held_out: Tensor, *, context: int, steps: int, tokens: int
    ) -> None:
        self.model = model.eval()
        self.held_out = held_out
        self.context = context
        self.steps = steps
        self.tokens = tokens
        self.used = 0
        self._run = run
        self._due = 0.0

    def updates(self) -> Counted:
        """What to pass to an ask, which calls it after each step with the number of tokens that were read so far.

        Now and then the answer is True: then it is called once more, with the weights, and the curve gets a point.
        """
        self._run.draws("held-out bits per token", "optimiser steps")
        return Counted(self._update, 2 * self.steps + 2, "updates")

    def take(self, weights: Any) -> None:
        """Puts a trained model's weights into the grader's own. Fails where names or shapes are not the class's."""
        take_weights(self.model, weights)

    def agrees(self, logits: Any, tokens: Tensor, atol: float = 1e-4) -> None:
        """Fails unless `logits`, what the student's own model says of `tokens` (B, T), is what these weights say."""
        with torch.no_grad():
            ours = self.model(tokens)
        if not isinstance(logits, Tensor) or logits.shape != ours.shape:
            raise WrongAnswer("The trained model should answer with logits (B, T, V).")
        if not torch.allclose(logits.to(ours.dtype), ours, atol=atol, rtol=atol):
            raise WrongAnswer("The trained model answers otherwise than its class does with the same weights.")

    def bits(self, every: int = 1) -> float:
        """Bits per token over the held-out text: each next token once, in windows of `context`.

        `every` looks at each so manyth full window only: quicker, and spread over the whole text.
        """
        x, y = self.held_out[:-1], self.held_out[1:]
        whole = len(x) // self.context * self.context
        x_windows, y_windows = x[:whole].view(-1, self.context)[::every], y[:whole].view(-1, self.context)[::every]
        total, count = 0.0, x_windows.numel()
        with torch.no_grad():
            for start in range(0, len(x_windows), AT_ONCE):
                total += self._nats(x_windows[start : start + AT_ONCE], y_windows[start : start + AT_ONCE])
            if whole < len(x) and (every == 1 or not count):
                total += self._nats(x[None, whole:], y[None, whole:])
                count += len(x) - whole
        return total / count / math.log(2)

    def _nats(self, x: Tensor, y: Tensor) -> float:
        logits = self.model(x)
        return float(functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"))

    def _update(self, tokens: int, weights: Any = None) -> bool:
        """Counts a step. True where the curve is due a point."""
        if weights is not None:
            self.take(weights)
            self._run.measured(self.used, self.bits(every=max(1, len(self.held_out) // CURVE_TOKENS)))
            return False
        self.used += 1
        if self.used > self.steps:
            raise BudgetExceeded(f"the {self.steps} optimiser steps are spent")
        if tokens > self.steps * self.tokens:
            raise BudgetExceeded(f"the {self.steps * self.tokens} tokens are spent")
        self._run.progress(self.used, self.steps)
        if self.used < self._due:
            return False
        self._due = (int(self.used * CURVE_POINTS / self.steps) + 1) * self.steps / CURVE_POINTS
        return True
