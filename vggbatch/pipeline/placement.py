"""How many actors, threads and tasks a cluster gets, so that all cores work and nothing can deadlock.

Everything asks Ray for logical CPUs alone, which every cluster has and every autoscaler knows.
On each core an actor takes ACTOR_SHARE of a CPU and leaves the rest to tasks. The tasks of all
stages together fit in what the actors leave, at their highest concurrency, so that no task that
holds a CPU can wait for one that cannot get its own.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError

ACTOR_SHARE = 0.8
INDEX_CPUS = 0.04
DECODE_CPUS = 0.1
WRITE_CPUS = 0.05
"""Shares of a logical CPU. The three differ because Ray fuses neighbouring stages whose requests
are equal, and indexing fused with decoding would read a shard in one task. With one task of each
stage for each core, 0.04 + 0.1 + 0.05 is less than the 0.2 that an actor leaves."""


@dataclass(frozen=True)
class Placement:
    """The shape of a run on a cluster."""

    nodes: int
    cpus: int
    """Logical CPUs of all nodes that get work."""
    actors: int
    threads: int
    """Intra-op threads of each actor, each on a core of its own."""
    actor_cpus: float
    decode_tasks: int
    index_tasks: int
    write_tasks: int
    chunks_in_flight: int = 2
    """Chunks queued at an actor: one in work, one ready."""

    def describe(self) -> dict[str, Any]:
        """For run.json and `vggbatch plan`."""
        return asdict(self)


def place(node_cpus: list[float], options: ComputeOptions) -> Placement:
    """Fit a run into nodes.

    Args:
        node_cpus: logical CPUs of each node that may be used, as Ray counts them.
        options: what the user fixed.

    Raises:
        UsageError: not one actor fits, or fewer than were asked for.
    """
    cores = [math.floor(cpus) for cpus in node_cpus if cpus >= 1]
    if not cores:
        raise UsageError(
            "the cluster has no node with a free logical CPU for a classifier actor; "
            "add a node, or start Ray with --num-cpus 1 or more"
        )
    threads = options.threads or _default_threads(max(cores), options.actors, len(cores))
    slots = sum(count // threads for count in cores)
    if slots == 0:
        raise UsageError(
            f"compute.threads={threads} does not fit: the largest node has {max(cores)} logical CPUs"
        )
    if options.actors is not None and options.actors > slots:
        raise UsageError(
            f"compute.actors={options.actors} of {threads} threads do not fit: the cluster's "
            f"{len(cores)} nodes with {sum(cores)} logical CPUs have room for {slots}"
        )
    total = sum(cores)
    return Placement(
        nodes=len(cores),
        cpus=total,
        actors=options.actors or slots,
        threads=threads,
        actor_cpus=round(threads * ACTOR_SHARE, 2),
        decode_tasks=min(options.decode_tasks or total, total),
        index_tasks=max(1, total // 8),
        write_tasks=max(1, total // 8),
    )


def _default_threads(cores: int, actors: int | None, nodes: int) -> int:
    """Threads of an actor where the user names none.

    Actors of one thread are the fastest (4 % over one of two threads in int8, measured) and share
    their weights; on large nodes fewer actors save memory for activations and process starts.
    """
    if actors is not None and actors < nodes * cores:
        return max(1, nodes * cores // actors)
    return 1 if cores <= 4 else 2 if cores <= 16 else 4
