"""What a child printed, kept up to a cap: a flood costs no memory, and neither its beginning nor its end is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Output:
    """The beginning and the end of what a child printed, up to a cap."""

    cap: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    cut: bool = False

    def add(self, data: bytes) -> None:
        room = self.cap // 2 - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > self.cap // 2:
            self.cut = True
            del self.tail[: len(self.tail) - self.cap // 2]


def printed(output: Output) -> dict[str, Any]:
    """What is kept, as it travels to the grader."""
    return {"head": bytes(output.head), "tail": bytes(output.tail), "cut": output.cut}
