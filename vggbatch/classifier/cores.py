"""Cores of its own for each classifier process, shared out by kernel locks.

A claim is a `flock` on one file per core, so the kernel gives a core back when its process dies,
kill -9 included, and two jobs on one machine never pin to the same core.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vggbatch.classifier.core_locks import CoreLock, lock_core
from vggbatch.classifier.topology import Topology, read_topology


@dataclass(frozen=True)
class Claim:
    """Cores that this process holds. Keep it referenced for as long as they are needed."""

    cores: tuple[int, ...]
    locks: tuple[CoreLock, ...]

    def release(self) -> None:
        """Give the cores back before the process ends."""
        for lock in self.locks:
            lock.close()


def cpu_mask() -> tuple[int, ...]:
    """The logical CPUs this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The cgroup's CPU limit in cores (v2 cpu.max, v1 cpu.cfs_quota_us), None without one."""
    candidates = [root]
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                candidates.insert(0, root / line[3:].strip().lstrip("/"))
    except OSError:
        pass
    for folder in candidates:
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        return None if quota == "max" else int(quota) / int(period)
    try:
        v1 = root / "cpu"
        micros = int((v1 / "cpu.cfs_quota_us").read_text())
        return micros / int((v1 / "cpu.cfs_period_us").read_text()) if micros > 0 else None
    except (OSError, ValueError):
        return None


def usable_cpus() -> int:
    """Physical cores that this process may use: those in its CPU mask, cut by a cgroup quota.

    Hyperthreads of one core share its vector units, which a VGG fills alone.
    """
    quota = cpu_quota()
    cores = read_topology(cpu_mask()).cores
    return max(1, min(cores, math.floor(quota)) if quota else cores)


def may_pin() -> bool:
    """Whether cores can be owned: never where a quota shares a larger set of CPUs with others."""
    quota = cpu_quota()
    return quota is None or len(cpu_mask()) <= math.ceil(quota)


def pinning() -> str:
    """What `claim_cores` has to choose from here, in words."""
    if may_pin():
        return f"pinned to {read_topology(cpu_mask()).describe()}"
    return f"not pinned: a quota of {cpu_quota():g} CPUs shares {len(cpu_mask())}"


def claim_cores(count: int, folder: Path | None = None) -> Claim | None:
    """Claim `count` free cores, of one cache group if possible, and pin this process to them.

    Where all cores are taken, as by a cluster that counts hyperthreads, the second threads of the
    cores are claimed likewise.

    Args:
        count: how many.
        folder: of the locks; None: one for all processes of the machine.

    Returns:
        The claim, or None where cores may not be pinned or too few are free; the process then
        stays where the kernel puts it.
    """
    if not may_pin():
        return None
    for candidates in _candidates(read_topology(cpu_mask())):
        locks: list[CoreLock] = []
        cores: list[int] = []
        for core in candidates:
            lock = lock_core(core, folder)
            if lock is not None:
                locks.append(lock)
                cores.append(core)
                if len(cores) == count:
                    os.sched_setaffinity(0, cores)
                    return Claim(tuple(cores), tuple(locks))
        for lock in locks:
            lock.close()
    return None


def _candidates(topology: Topology) -> Iterator[list[int]]:
    """Sets of logical CPUs to claim from, the best first."""
    for thread in range(max(len(core) for group in topology.groups for core in group)):
        groups = [
            [core[thread] for core in group if len(core) > thread] for group in topology.groups
        ]
        yield from groups
        yield [cpu for group in groups for cpu in group]
