"""Which packages a test can do without: it skips, and says so, where `pytest.importorskip` does not find one."""

from __future__ import annotations

import dis
import functools
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

_DISTRIBUTION = "from-attention-to-grpo"


def optional_packages(function: Callable[..., Any]) -> frozenset[str]:
    """The packages that a test asks `importorskip` for and that the core install does not bring."""
    steps = [step for step in dis.get_instructions(function) if step.opname.startswith("LOAD")]
    asked = [
        next((str(later.argval) for later in steps[place + 1 :] if later.opname == "LOAD_CONST"), "")
        for place, step in enumerate(steps)
        if step.argval == "importorskip"
    ]
    return frozenset(name.partition(".")[0] for name in asked if name) - _core() - sys.stdlib_module_names


@functools.cache
def _core() -> frozenset[str]:
    """What the core install brings by name; a package and its distribution are called alike in all that it lists."""
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return frozenset()
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    return frozenset(name.lower().replace("-", "_") for name in names)
