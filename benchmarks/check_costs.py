"""What a check of each assignment costs, in CPU-seconds: of a solved one, of its numeric tests, warm.

    python benchmarks/check_costs.py [aNN ...] [--repeat 3]

Warm as in `autograder watch`: the sandbox stands, and a save is checked. Counted are grader, sandbox and student code
together. What training costs is measured by `autograder verify` and kept with each assignment's calibration. Writes
docs/reference/costs.json, from which `python docs/_build/costs.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from cold_check import ROOT, course_with_solution
from warm_check import machine, one_save

LIMIT = 2.0
"""CPU-seconds that the numeric tests of an assignment may take, warm."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="saves of each assignment; the median counts")
    parser.add_argument("names", nargs="*", metavar="aNN", help="of these only; the others' figures stay")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from autograder.course import Course
    from autograder.learner.watching import Watch

    page = ROOT / "docs/reference/costs.json"
    costs: dict[str, float] = json.loads(page.read_text(encoding="utf-8"))["cpu_seconds"] if asked.names else {}
    with tempfile.TemporaryDirectory() as folder:
        course = Course.load(course_with_solution(Path(folder)))
        for assignment in map(course.assignment, asked.names) if asked.names else course.assignments:
            text = assignment.module_path.read_text(encoding="utf-8")
            with Watch(course, assignment) as watch:
                watch.check()
                saves = [one_save(watch, "right", f"{text}\n# {number}\n") for number in range(asked.repeat)]
            costs[assignment.id] = round(statistics.median(save.cpu for save in saves), 2)
            print(f"{assignment.id:24}{costs[assignment.id]:6.2f}", flush=True)
    kept = {"machine": machine(), "cpu_seconds": dict(sorted(costs.items()))}
    page.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0 if max(costs.values()) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
