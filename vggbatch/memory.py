"""Memory of this machine, what processes can still get of it, and what Python looks through."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_FILES = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Control groups of version 2 and 1: folder, limit, use, and of `memory.stat` what is given back
when it is needed."""


def total_memory(root: Path = _GROUPS) -> int:
    """Bytes of the machine, at most the control group's limit."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder, limit_file, _, _ in _FILES:
        with suppress(OSError, ValueError):
            total = min(total, int((root / folder / limit_file).read_text()))
    return total


def free_memory(root: Path = _GROUPS) -> int:
    """Bytes that processes can still get: of the machine, cut by the control group's limit."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    facts = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free = facts["MemAvailable"]
    for folder, limit_file, used_file, files in _FILES:
        try:
            limit = int((root / folder / limit_file).read_text())
            used = int((root / folder / used_file).read_text())
            stat = (root / folder / "memory.stat").read_text().splitlines()
        except (OSError, ValueError):
            continue  # the other version, or no limit
        # file pages count as used, and go when they are needed
        free = min(free, limit - used + int(dict(line.split() for line in stat)[files]))
    return free


@contextmanager
def without_collection() -> Iterator[None]:
    """Let Python not look for cycles while millions of objects are made that have none.

    It looks through all of them again and again: of 36 seconds for 10^6 names of a store, 16.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
