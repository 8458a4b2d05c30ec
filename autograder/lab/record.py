"""What a lab leaves in its folder: run.json, log.jsonl, samples.jsonl, the adapter. Read as data, never believed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autograder.errors import LabError
from autograder.files import write_json, write_whole
from autograder.lab.models import Base
from autograder.lab.settings import Settings

VERSIONED = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "unsloth")


class Record:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.adapter = folder / "adapter"
        self.checkpoints = folder / "checkpoints"
        self._log = folder / "log.jsonl"

    def begin(self, settings: Settings, base: Base, resume: bool) -> None:
        """Opens the folder. Refuses one that holds another run, unless that is the run to go on with."""
        before = self.run()
        if before and not resume:
            raise LabError(
                "this folder already holds a run",
                where=str(self.folder),
                mend="--resume goes on with it; --out DIR begins another",
            )
        if resume and not before:
            raise LabError("there is no run to go on with", where=str(self.folder), mend="leave --resume out")
        if before:
            self._same(before, settings, base)
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise LabError(
                "this folder holds other files", where=str(self.folder), mend="--out DIR    a new or empty folder"
            )
        self._save(settings, base, steps_done=0, seconds=0.0)

    def _same(self, before: dict[str, Any], settings: Settings, base: Base) -> None:
        if before.get("base", {}).get("digest") != base.digest:
            raise LabError("this run began from other weights", where=str(self.folder), mend="--out DIR begins another")
        old, new = before["settings"], json.loads(json.dumps(settings.to_json()))
        changed = sorted(key for key in new if key not in ("steps", "out") and old.get(key) != new[key])
        if changed:
            raise LabError(
                f"this run began with other settings: {', '.join(changed)}",
                where=str(self.folder / "run.json"),
                mend="resume with the same ones (only --steps may grow), or --out DIR begins another",
            )

    def end(self, settings: Settings, base: Base, steps_done: int, seconds: float, measured: dict[str, Any]) -> None:
        """Notes how far it came and what was measured."""
        before = self.run() or {}
        self._save(settings, base, steps_done, float(before.get("seconds", 0.0)) + seconds, measured)

    def _save(
        self, settings: Settings, base: Base, steps_done: int, seconds: float, measured: dict[str, Any] | None = None
    ) -> None:
        data = {
            "settings": settings.to_json(),
            "base": {"name": base.name, "digest": base.digest, "parameters": base.parameters},
            "versions": versions(),
            "steps_done": steps_done,
            "seconds": round(seconds, 1),
            "measured": measured or {},
        }
        write_json(self.folder / "run.json", data)

    def run(self) -> dict[str, Any] | None:
        """run.json, or None where there is none. Raises LabError where it is damaged."""
        path = self.folder / "run.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or not isinstance(data.get("settings"), dict):
                raise ValueError("not a record of a lab")
            return data
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise LabError(
                f"run.json is damaged: {error}", where=str(path), mend="--out DIR begins another run"
            ) from error

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Appends a row. A step that is done again after a resume is in the file twice: the later one counts."""
        row = {"step": step, "time": round(time.time(), 1), **{k: round(float(v), 6) for k, v in figures.items()}}
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, float]]:
        """The log, a row a step, in order."""
        return [row for _, row in sorted({int(row["step"]): row for row in _lines(self._log)}.items())]

    def samples(self, rows: Iterable[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(self.folder / "samples.jsonl", text.encode())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; a last line cut short by a kill is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "step" in row:
                yield row


def versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
