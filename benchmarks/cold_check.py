"""What a cold `autograder check a02` costs, against a bare `import torch`, in CPU-seconds of one run on one machine.

    python benchmarks/cold_check.py [--repeat 5]

The work that is checked is the reference, so every test runs to its end. The tests' own share is measured by running
the same tests once more inside one process and is taken off. Prints the ratio; exits 1 above the limit of 2.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 2.0

OWN = """
import sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from autograder.course import Course
from autograder.grading.run import grade
from autograder.sandbox.loopback import LoopbackTransport
course = Course.load(Path(sys.argv[1]))
assignment = course.assignment("a02")
before = time.process_time()
grade(course, assignment, LoopbackTransport())
print(time.process_time() - before)
"""


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system time of a command and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def course_with_solution(folder: Path) -> Path:
    """A copy of the course in which everything is solved."""
    sys.path.insert(0, str(ROOT))
    from autograder.testing.modules import without_test_cells

    shutil.copytree(ROOT / "solutions", folder / "solutions")
    shutil.copytree(ROOT / "assignments", folder / "assignments")
    for source in sorted((folder / "solutions").glob("*/source.py")):
        for stub in (folder / "assignments" / source.parent.name).glob(".stub.py"):
            solved = without_test_cells(source.read_text(encoding="utf-8"))
            module = json.loads((stub.parent / ".assignment.json").read_text(encoding="utf-8"))["module"]
            (stub.parent / f"{module}.py").write_text(solved, encoding="utf-8")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each; the smallest counts")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        folder = course_with_solution(Path(name))
        check = [sys.executable, "-m", "autograder", "check", "a02"]
        torch = min(cpu_seconds([sys.executable, "-c", "import torch"], folder) for _ in range(repeat))
        whole = min(cpu_seconds(check, folder) for _ in range(repeat))
        own = min(
            float(subprocess.run([sys.executable, "-c", OWN, name], capture_output=True, text=True, check=True).stdout)
            for _ in range(repeat)
        )
    ratio = (whole - own) / torch
    print(f"import torch          {torch:6.2f} CPU-seconds")
    print(f"autograder check a02  {whole:6.2f} CPU-seconds, of which the tests' own {own:.2f}")
    print(f"ratio                 {ratio:6.2f}  (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
