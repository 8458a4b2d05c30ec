"""How long a student waits in `autograder watch a02` from a save to the verdict, over saves as a student makes them.

    python benchmarks/warm_check.py [--saves 50] [--json]

Drives the code that `watch` runs, without its terminal: a file is written, the watching notices it, checks it, and says
how the task that the student is at stands (the first verdict), then how all of them stand. The saves alternate among a
right solution, mistakes of the bank, a stub and a file that is no Python. Warm means: the sandbox stands, a first check
was made, and what the mistakes answer is known, as it is once `watch` has been idle for a while.

Seconds mean little on a machine that others use, so a bare `import torch` is timed again and again in between, and the
verdicts are given as a share of its median too; CPU-seconds are those of grader, sandbox and student code together.
Exits 1 where the 95th percentile of the first verdict is above both one second and that import.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cold_check import ROOT, course_with_solution

SECOND = 1.0
MISTAKES = ("no_scale", "upper_left", "wrong_exponent", "no_output_projection", "positions_restart", "masked_row_nan")
IMPORTS = 5


@dataclass(frozen=True)
class Timed:
    """One save: seconds until the first verdict and until the whole one, and the CPU-seconds of all."""

    kind: str
    first: float
    whole: float
    cpu: float


def with_mistake(right: str, bank: str, wanted: str) -> str:
    """The right solution with one mistake of the bank, and the helpers that it calls, in place of the task."""
    tree = ast.parse(bank)
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imported = [name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names]
    decorator = known[wanted].decorator_list[0]
    assert isinstance(decorator, ast.Call)
    task = ast.literal_eval(decorator.args[0])
    needed = [wanted]
    for name in needed:
        names = {node.id for node in ast.walk(known[name]) if isinstance(node, ast.Name)}
        needed += [other for other in known if other in names and other not in needed]
    known[wanted].decorator_list.clear()
    ours = [name for name in imported if f"\ndef {name}(" in right or f"\nclass {name}(" in right]
    for node in (node for name in needed for node in ast.walk(known[name])):
        if isinstance(node, ast.Name) and node.id in ours:
            node.id = f"right_{node.id}"
    kept = "\n".join(f"right_{name} = {name}" for name in ours)
    wrong = "\n\n\n".join(ast.unparse(node) for node in tree.body if getattr(node, "name", "") in needed)
    return f"{right}\n\n{kept}\n\n\n{wrong}\n\n\n{task} = {wanted}\n"


def texts(folder: Path) -> dict[str, str]:
    """What is saved, by kind."""
    right = (folder / "assignments/a02_attention/attention.py").read_text(encoding="utf-8")
    bank = (folder / "solutions/a02_attention/mistakes.py").read_text(encoding="utf-8")
    stub = (folder / "assignments/a02_attention/.stub.py").read_text(encoding="utf-8")
    wrong = {name: with_mistake(right, bank, name) for name in MISTAKES}
    return {"right": right, **wrong, "stub": stub, "no Python": right.replace("def attention(", "def attention((")}


def import_torch() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - began


def cpu_of_all() -> float:
    """CPU-seconds of this process and all that descends from it."""
    from autograder.sandbox import processes

    return sum(processes.cpu_seconds(pid) for pid in processes.descendants([os.getpid()]))


def one_save(watch: Any, kind: str, text: str) -> Timed:
    """Saves, and waits as the command does."""
    from autograder.learner.watching import LOOK

    first: list[float] = []
    used = cpu_of_all()
    watch.assignment.module_path.write_text(text, encoding="utf-8")
    began = time.perf_counter()
    found = None
    while found is None:
        while not watch.saved:
            time.sleep(LOOK)
        found = watch.check(on_first=lambda _: first.append(time.perf_counter() - began))
    whole = time.perf_counter() - began
    return Timed(kind, first[0] if first else whole, whole, cpu_of_all() - used)


def measure(saves: int, folder: Path) -> tuple[list[Timed], list[float], float]:
    """Every save, the imports in between, and the seconds of preparing."""
    from autograder.course import Course
    from autograder.learner.watching import Watch

    course = Course.load(course_with_solution(folder))
    kinds = texts(folder)
    imports = [import_torch()]
    timed: list[Timed] = []
    with Watch(course, course.assignment("a02")) as watch:
        watch.check()
        began = time.perf_counter()
        while watch.prepare():
            pass
        preparing = time.perf_counter() - began
        for number in range(saves):
            kind = list(kinds)[number % len(kinds)]
            timed.append(one_save(watch, kind, kinds[kind]))
            if (number + 1) % max(saves // IMPORTS, 1) == 0:
                imports.append(import_torch())
    return timed, imports, preparing


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[max(-(-int(len(values) * share * 1000) // 1000) - 1, 0)]


def summary(values: list[float]) -> dict[str, float]:
    return {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95), "max": max(values)}


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def result(timed: list[Timed], imports: list[float], preparing: float, load: float) -> dict[str, Any]:
    torch = statistics.median(imports)
    told = {"first verdict": [t.first for t in timed], "whole verdict": [t.whole for t in timed]}
    kinds = {kind: [t for t in timed if t.kind == kind] for kind in dict.fromkeys(t.kind for t in timed)}
    return {
        "machine": machine(),
        "load_before": load,
        "saves": len(timed),
        "import_torch_seconds": torch,
        "preparing_seconds": preparing,
        "seconds": {name: summary(values) for name, values in told.items()},
        "of_import_torch": {name: summary([v / torch for v in values]) for name, values in told.items()},
        "cpu_seconds": summary([t.cpu for t in timed]),
        "by_kind": {
            kind: {
                "first": statistics.median(t.first for t in some),
                "whole": statistics.median(t.whole for t in some),
                "cpu": statistics.median(t.cpu for t in some),
            }
            for kind, some in kinds.items()
        },
    }


def shown(found: dict[str, Any]) -> str:
    lines = [found["machine"], f"load before the run {found['load_before']:.1f}; {found['saves']} saves of a02", ""]
    lines.append(f"{'':22}{'p50':>8}{'p95':>8}{'max':>8}")
    for name, row in found["seconds"].items():
        lines.append(f"{name + ', s':22}" + "".join(f"{row[key]:8.2f}" for key in ("p50", "p95", "max")))
    for name, row in found["of_import_torch"].items():
        lines.append(f"{name + ', ratio':22}" + "".join(f"{row[key]:8.2f}" for key in ("p50", "p95", "max")))
    lines.append(f"{'CPU-seconds':22}" + "".join(f"{found['cpu_seconds'][key]:8.2f}" for key in ("p50", "p95", "max")))
    lines += ["", f"import torch           {found['import_torch_seconds']:.2f} s (median); the ratios are to it"]
    lines += [f"prepared once          {found['preparing_seconds']:.1f} s, kept from then on", ""]
    lines.append(f"{'median by kind':22}{'first':>8}{'whole':>8}{'CPU':>8}")
    for kind, row in found["by_kind"].items():
        lines.append(f"  {kind:20}{row['first']:8.2f}{row['whole']:8.2f}{row['cpu']:8.2f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = result(*measure(asked.saves, Path(folder)), load)
    print(json.dumps(found, indent=1) if asked.json else shown(found))
    slowest = found["seconds"]["first verdict"]["p95"]
    return 0 if slowest <= max(SECOND, found["import_torch_seconds"]) else 1


if __name__ == "__main__":
    sys.exit(main())
