"""`autograder lab`: the same ideas on a real model."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from autograder.cli import show
from autograder.errors import AutograderError

if TYPE_CHECKING:
    from autograder.lab.record import Record
    from autograder.lab.settings import Kind, Settings


class KindName(enum.StrEnum):
    """Which training."""

    grpo = "grpo"
    ppo = "ppo"
    dpo = "dpo"
    qlora = "qlora"
    compare = "compare"


class BackendName(enum.StrEnum):
    """Whose loader and trainer."""

    trl = "trl"
    unsloth = "unsloth"


class DeviceName(enum.StrEnum):
    """Where it runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


UNFINISHED = 4
"""Stopped by Ctrl-C, and --resume goes on."""


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="For students")(lab)


def lab(
    kind: Annotated[KindName, typer.Argument(help="Which training.")],
    backend: Annotated[BackendName, typer.Option(help="Whose loader and trainer.")] = BackendName.trl,
    model: Annotated[str | None, typer.Option(help='"smollm2", a folder, or a name on a hub.')] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the trainer; default 10: a smoke run.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with more settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to; default lab_out.")] = None,
    device: Annotated[DeviceName, typer.Option(help="Where it runs.")] = DeviceName.auto,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of qlora: bits of a weight of the base, 4 or 8.")] = None,
    setup: Annotated[Path | None, typer.Option(help="A Python file with your grpo_setup, ppo_setup, …")] = None,
    ppo: Annotated[BackendName | None, typer.Option(help="Of compare: PPO's backend; default trl.")] = None,
    grpo: Annotated[BackendName | None, typer.Option(help="Of compare: GRPO's backend; default trl.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Of compare: seeds of each algorithm; default 2.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the settings and one example; train nothing.")
    ] = False,
) -> None:
    """Train a real language model with the field's own libraries."""
    from autograder.lab.hooks import own_hook
    from autograder.lab.settings import read_settings

    if kind is KindName.compare:
        if bits is not None or seed is not None or dry_run or setup:
            raise AutograderError(
                "compare takes no --bits, --seed, --setup or --dry-run", mend="autograder lab compare --seeds 2"
            )
        named = {"device": device.value, "steps": steps, "model.name": model, "out.dir": str(out) if out else None}
        compare_labs(named, config, {"ppo": ppo or backend, "grpo": grpo or backend}, seeds or 2, resume)
        return
    if ppo or grpo or seeds:
        raise AutograderError("--ppo, --grpo and --seeds belong to compare", mend="autograder lab compare --seeds 2")
    flags = {
        "backend": backend.value,
        "device": device.value,
        "steps": steps,
        "model.name": model,
        "optim.seed": seed,
        "qlora.bits": bits,
        "out.dir": str(out) if out else None,
        "setup": str(setup or own_hook(cast("Kind", kind.value)) or ""),
    }
    if flags["setup"]:
        show.note(f"data and rewards by {kind.value}_setup in {flags['setup']}")
    if bits is not None and kind is not KindName.qlora:
        raise AutograderError(f"--bits belongs to qlora, not to {kind.value}", mend="[model] load_in_4bit = true")
    run_one(read_settings(cast("Kind", kind.value), config, flags), resume, dry_run)


def run_one(settings: Settings, resume: bool, dry_run: bool) -> None:
    """Trains and shows what was measured, or only shows the settings."""
    from autograder.lab.following import Interrupted
    from autograder.lab.record import Record
    from autograder.lab.run import preview, run
    from autograder.reporting.lab import measured, settings_shown

    record = Record(Path(settings.out.dir))
    with show.ProgressLine() as line:
        try:
            if dry_run:
                shown = settings_shown(settings.to_json(), preview(settings, line.say).rows())
            else:
                found = run(settings, resume, line.say, lambda n, of, row, left: line.say(step_line(n, of, row, left)))
                shown = measured(found, record.rows(), str(record.folder))
                keep_page(record, found)
        except Interrupted as interrupted:
            show.note(f"stopped after step {interrupted.args[0]}; the same command with --resume goes on from there")
            raise typer.Exit(UNFINISHED) from interrupted
    show.show(shown)


def compare_labs(
    flags: dict[str, Any], config: Path | None, backends: dict[str, BackendName], seeds: int, resume: bool
) -> None:
    """PPO against GRPO: runs what is left to run, shows what came of it, and leaves compare.html."""
    from autograder.files import write_whole
    from autograder.lab.comparing import compare, plan
    from autograder.lab.following import Interrupted
    from autograder.reporting.comparing import compared, page

    runs = plan(config, flags, {name: backend.value for name, backend in backends.items()}, seeds)
    folder = Path(runs[0].out.dir).parent
    with show.ProgressLine() as line:
        try:
            found = compare(runs, resume, line.say, lambda n, of, row, left: line.say(step_line(n, of, row, left)))
        except Interrupted as interrupted:
            show.note(f"stopped after step {interrupted.args[0]}; the same command with --resume goes on from there")
            raise typer.Exit(UNFINISHED) from interrupted
    write_whole(folder / "compare.html", page(found).encode())
    show.show(compared(found, str(folder)))


def keep_page(record: Record, found: dict[str, Any]) -> None:
    """Writes lab.html beside the run: the figures and every curve, in one file."""
    from autograder.files import write_whole
    from autograder.reporting.lab import page

    kept = record.run() or {}
    settings, base = kept["settings"], kept["base"]
    title = f"{settings['kind'].upper()} on {base['name']}, {settings['backend']}, {kept['steps_done']} steps"
    conditions = [
        ("Model", f"{base['name']}, {base['parameters'] / 1e6:,.1f}M parameters"),
        ("Time", f"{kept['seconds']:,.0f} s of training"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in kept["versions"].items())),
    ]
    write_whole(record.folder / "lab.html", page(title, found, record.rows(), conditions).encode())


def is_lab(name: str) -> bool:
    """Whether a name given to `check` is the folder of a lab."""
    return (Path(name) / "run.json").is_file()


def check_lab(folder: Path) -> None:
    """Runs a lab's adapter again on this machine's own base: what it does counts, not what its log says."""
    from autograder.lab.record import Record
    from autograder.lab.run import again
    from autograder.reporting.lab import measured

    with show.ProgressLine() as line:
        found = again(folder, line.say, lambda n, of: line.say(f"measuring: {n} of {of} held-out problems"))
    show.show(measured(found, Record(folder).rows(), str(folder)))


def step_line(step: int, of: int, figures: dict[str, float], left: float) -> str:
    """One line of progress."""
    better = {"reward", "accuracy", "kl", "length"} & set(figures)
    told = [name for name in figures if name in (better or {"loss"})]
    said = "  ".join(f"{name} {figures[name]:.3g}" for name in told)
    return (
        f"step {step} of {of}  {said}  {left / 60:.0f} min left"
        if left > 90
        else f"step {step} of {of}  {said}  {left:.0f} s left"
    )
