"""The processes under a process, and the memory they take together, from /proc."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """A process and all its descendants, by process id."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir(_PROC):
        if not entry.isdigit():
            continue
        try:
            text = (_PROC / entry / "stat").read_text()
        except OSError:
            continue
        # the name in parentheses may hold anything, so the parent is counted from its end
        parent = int(text[text.rindex(")") + 2 :].split()[1])
        children.setdefault(parent, []).append(int(entry))
    found, left = [], [root]
    while left:
        process = left.pop()
        found.append(process)
        left += children.get(process, [])
    return found


def memory(processes: list[int]) -> int:
    """Bytes that processes hold together: the sum of their proportional set sizes (PSS).

    A page that several map, such as weights or an object store, counts once in all. Processes that
    have ended count nothing.
    """
    total = 0
    for process in processes:
        try:
            lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def kill(processes: list[int]) -> None:
    """End processes that are of no use any more."""
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
