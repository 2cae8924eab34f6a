"""Which logical CPUs are one core, and which cores share a cache, as Linux shows it in /sys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys/devices/system")

Core = tuple[int, ...]
"""The logical CPUs of one physical core that may be used; hyperthreads where more than one."""


@dataclass(frozen=True)
class Topology:
    """The cores that a process may use."""

    groups: tuple[tuple[Core, ...], ...]
    """Cores by the last-level cache that they share, and so by NUMA node, in order of their CPUs.
    Where Linux knows of no such cache, as in many virtual machines, by NUMA node alone."""

    @property
    def cores(self) -> int:
        """Physical cores."""
        return sum(map(len, self.groups))

    def describe(self) -> str:
        """In words: `16 cores in 2 groups that share a cache`."""
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'}"
        if len(self.groups) == 1:
            return cores
        return f"{cores} in {len(self.groups)} groups that share a cache"


def read_topology(cpus: Collection[int], sysfs: Path = _SYSFS) -> Topology:
    """The topology of some logical CPUs, those that are not among them left out.

    Args:
        cpus: logical CPUs, such as a process's affinity mask.
        sysfs: /sys/devices/system, or a recorded tree.
    """
    groups: dict[tuple[str, str], dict[str, list[int]]] = {}
    for cpu in sorted(cpus):
        folder = sysfs / f"cpu/cpu{cpu}"
        # core_cpus_list since Linux 5.3, thread_siblings_list its older name
        core = _text(folder / "topology/core_cpus_list")
        core = core or _text(folder / "topology/thread_siblings_list") or str(cpu)
        group = groups.setdefault((_node(folder), _last_cache(folder)), {})
        group.setdefault(core, []).append(cpu)
    return Topology(tuple(tuple(map(tuple, cores.values())) for cores in groups.values()))


def _node(folder: Path) -> str:
    """NUMA node of a CPU, else its socket."""
    nodes = sorted(path.name for path in folder.glob("node[0-9]*"))
    return nodes[0] if nodes else _text(folder / "topology/physical_package_id")


def _last_cache(folder: Path) -> str:
    """The CPUs behind the same cache of level 3 or above; empty where there is none."""
    level, shared = 2, ""
    for index in folder.glob("cache/index[0-9]*"):
        text = _text(index / "level")
        if text.isdigit() and int(text) > level:
            level, shared = int(text), _text(index / "shared_cpu_list")
    return shared


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
