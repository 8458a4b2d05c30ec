"""Says in a student's words what stands between their code and the grader on this machine, from what was tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autograder.sandbox.messages import Isolation

_SIGNALS_ABI = 6
_TCP_ABI = 4
_SHARED = "one test of yours leaving something behind for your next (a failure is confirmed in a fresh process)"


def describe(mode: str, facts: dict[str, Any], shared: bool = False) -> Isolation:
    """What holds; `shared` says that one process answers many tests, where each would else have its own.

    `facts` are the warm process's own: landlock (ABI or 0), seccomp, own_user, granted (namespaces), forked.
    """
    found = _describe(mode, facts)
    return replace(found, not_stopped=(*found.not_stopped, _SHARED)) if shared else found


def _describe(mode: str, facts: dict[str, Any]) -> Isolation:
    abi, seccomp = int(facts["landlock"]), bool(facts["seccomp"])
    if mode == "bubblewrap":
        return _bubblewrap(abi, seccomp, bool(facts["own_user"]))
    granted = set(facts["granted"])
    if mode == "fork" and (abi or seccomp or granted):
        return _fork(abi, seccomp, granted, bool(facts["own_user"]), bool(facts["forked"]))
    return Isolation(
        "none",
        "a process of its own and nothing more: limits on time, memory and processes, but no walls (not for grades)",
        (
            "reading and changing your files",
            "the network",
            "looking into the grader's memory",
            "signals to your processes",
        ),
    )


def _bubblewrap(abi: int, seccomp: bool, own_user: bool) -> Isolation:
    parts = ["bubblewrap: no network, no files but Python's own and a scratch folder, its own process tree"]
    parts += [f"Landlock (ABI {abi})"] * bool(abi) + ["seccomp"] * seccomp + ["a user of its own"] * own_user
    left = ["attacks on the Linux kernel itself"]
    if abi < _SIGNALS_ABI and not own_user:
        left.insert(0, "signals to other student code in the same sandbox (use one sandbox a submission)")
    return Isolation("bubblewrap", ", ".join(parts), tuple(left))


def _fork(abi: int, seccomp: bool, granted: set[str], own_user: bool, forked: bool) -> Isolation:
    parts = ["a process of its own"]
    left = ["reading what this command had in memory when it started (no tests and no answers)"] if forked else []
    if abi:
        parts.append(f"Landlock (ABI {abi}): no files but Python's own, your folder and a scratch folder")
    else:
        left.append("reading and changing your files")
    if seccomp:
        parts.append("seccomp: no network and no sockets")
    else:
        parts += ["no network"] * ("network" in granted) or ["no TCP"] * (abi >= _TCP_ABI)
        left += [] if "network" in granted else ["the network by UDP" if abi >= _TCP_ABI else "the network"]
        left.append("programs of this machine that listen at a socket file")
        left.append("changing the modes and times of your files")
    if "processes" in granted:
        parts.append("its own process tree")
    elif abi >= _SIGNALS_ABI:
        parts.append("no signals to other processes")
    else:
        left.append("signals to your other processes")
    parts += ["a user of its own"] * own_user
    left.append("filling the disk with many files")
    return Isolation("fork", ", ".join(parts), tuple(left))
