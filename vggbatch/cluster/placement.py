"""How many actors, threads and tasks a cluster gets: all cores work and nothing can deadlock.

Everything asks Ray for logical CPUs alone, which every cluster has and every autoscaler knows; a
resource of an own name would have to be declared on each node by those who start it, and no
autoscaler brings a node for one that no node type declares.

On each core an actor takes ACTOR_SHARE of a CPU and leaves the rest to tasks. What all actors of a
node leave together is less than one actor more would take, so no node gets more actors than it has
cores for, however the pool grows. The tasks of all stages together fit in what the actors leave,
at their highest concurrency, so that no task that holds a CPU can wait for one that cannot get its
own. On a cluster that grows only indexing tasks, the ones that can be made to wait with a CPU in
their hands, stay within what is there; the others end by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vggbatch.classifier.cores import cpu_mask, usable_cpus
from vggbatch.classifier.provider import needs_gpu
from vggbatch.classifier.topology import read_topology
from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError

ACTOR_SHARE = 0.98
INDEX_CPUS = 0.004
DECODE_CPUS = 0.01
WRITE_CPUS = 0.005
"""Shares of a logical CPU. The three differ because Ray fuses neighboring stages whose requests
are equal, and indexing fused with decoding would read a shard in one task. With one task of each
stage for each core, 0.004 + 0.01 + 0.005 is less than the 0.02 that an actor leaves; and 0.02 of
even 192 cores is less than an actor of 4 threads takes."""

_UNKNOWN_GROWTH = 4096
"""Logical CPUs up to which a run follows a cluster that nodes may join without an autoscaler."""

_CORES_A_DECODER = 12
"""Cores with classifiers that one decoding task feeds: 37 ms an image in int8, 3 ms to decode it
(measured). On a cluster that grows there are not many more tasks than this asks for: Ray starts
all it may at once, and on a node that has just joined their processes would keep the classifier
from its core."""
_BYTES_A_TASK = 40 * 2**20
"""Bytes of images that are worth one more process that decodes or writes: it takes two seconds of a
core to start (measured), and as long for 600 JPEGs of ImageNet or for 40 MB of PNG."""


@dataclass(frozen=True)
class Growth:
    """What a cluster may become during a run. Nothing known: nodes may be added by hand."""

    cpus: int | None = None
    """Logical CPUs of all worker nodes at the autoscaler's limit."""
    node_cpus: int = 0
    """Of the largest node that the autoscaler can start."""


@dataclass(frozen=True)
class Placement:
    """The shape of a run on a cluster."""

    nodes: int
    cpus: int
    """Logical CPUs of all nodes that get work, at most the run's share."""
    actors: int
    """Classifiers at the start; on a fixed cluster, throughout."""
    max_actors: int
    """Classifiers at most, however many nodes come."""
    threads: int
    """Intra-op threads of each actor, each on a core of its own."""
    actor_cpus: float
    decode_tasks: int
    index_tasks: int
    write_tasks: int
    actor_gpus: int = 0
    """GPUs that each actor asks Ray for."""
    chunks_in_flight: int = 2
    """Chunks queued at an actor: one in work, one ready."""
    fused: bool = False
    """Whether classifiers decode and write too. After a pass that lost a process, tasks decode and
    write all the same."""

    @property
    def elastic(self) -> bool:
        """Whether classifiers come and go with nodes."""
        return self.max_actors > self.actors

    def room(self, node_cpus: Iterable[float]) -> int:
        """Classifiers that such nodes have cores for, at most the run's share."""
        return min(self.max_actors, sum(int(cpus) // self.threads for cpus in node_cpus))

    def for_bytes(self, count: int) -> Placement:
        """The same with no more tasks than are worth the start of their processes.

        Args:
            count: bytes of all images, times the pictures that are made of each.
        """
        most = 1 + count // _BYTES_A_TASK
        return replace(
            self,
            decode_tasks=min(self.decode_tasks, most),
            write_tasks=min(self.write_tasks, most),
        )

    def describe(self) -> dict[str, Any]:
        """For run.json and `vggbatch plan`."""
        return asdict(self)


def place_here(options: ComputeOptions) -> Placement:
    """Fit a run into a cluster of its own on this machine.

    Raises:
        UsageError: as `place`.
    """
    groups = [len(group) for group in read_topology(cpu_mask()).groups]
    return place([float(options.num_cpus or usable_cpus())], options, groups=groups)


def place(
    node_cpus: list[float],
    options: ComputeOptions,
    growth: Growth | None = None,
    *,
    groups: Sequence[int] = (),
    gpus: int | None = None,
) -> Placement:
    """Fit a run into nodes.

    Networks that another provider than the CPU computes get one classifier for each GPU that the
    provider asks for, or for each node, with as many CPUs as its share of them is.

    Args:
        node_cpus: logical CPUs of each node that may be used, as Ray counts them.
        options: what the user fixed.
        growth: what nodes may join later; None: the nodes are all there will be.
        groups: cores behind each last-level cache of a node, where they are known.
        gpus: of all nodes; None where Ray has not counted them.

    Raises:
        UsageError: not one actor fits, or fewer than were asked for.
    """
    present = [math.floor(cpus) for cpus in node_cpus if cpus >= 1]
    cores = present or ([growth.node_cpus] if growth and growth.node_cpus else [])
    if not cores:
        raise UsageError(
            "the cluster has no node with a free logical CPU for a classifier actor; "
            "add a node, or start Ray with --num-cpus 1 or more"
        )
    if gpus is not None:
        check_gpus(options, gpus)
    if options.provider != "cpu" and options.actors is None:
        actors = gpus if gpus and needs_gpu(options.provider) else len(cores)
        options = options.model_copy(update={"actors": actors})
    share = options.max_cpus or _UNKNOWN_GROWTH
    widest = min(max(cores), share)
    threads = options.threads or _default_threads(widest, options.actors, len(cores), groups)
    slots = sum(count // threads for count in cores)
    if slots == 0:
        raise UsageError(
            f"compute.threads={threads} does not fit: the largest node has {max(cores)} "
            "logical CPUs"
        )
    if options.actors is not None and options.actors > slots:
        raise UsageError(
            f"compute.actors={options.actors} of {threads} threads do not fit: the cluster's "
            f"{len(cores)} nodes with {sum(cores)} logical CPUs have room for {slots}"
        )
    if (options.actors or 1) * threads > share:
        raise UsageError(
            f"compute.max_cpus={share} is too small for {options.actors or 1} actors of {threads} "
            "threads"
        )
    total = min(sum(cores), share)
    limit = decoders = total
    if growth is not None and options.actors is None:
        limit = min(share, max(total, growth.cpus or _UNKNOWN_GROWTH))
        decoders = max(2 * total, (growth.cpus or 0) // _CORES_A_DECODER)
    return Placement(
        nodes=len(present),
        cpus=total,
        actors=options.actors or min(slots, share // threads),
        max_actors=options.actors or max(1, limit // threads),
        threads=threads,
        actor_cpus=round(threads * ACTOR_SHARE, 2),
        decode_tasks=min(options.decode_tasks or decoders, limit),
        index_tasks=max(1, total // 8),
        write_tasks=max(1, limit // 8),
        actor_gpus=int(needs_gpu(options.provider)),
        # a number of decoding tasks that is set asks for tasks
        fused=options.provider == "cpu" and options.decode_tasks is None,
    )


def check_gpus(options: ComputeOptions, gpus: int) -> None:
    """Refuse classifiers that would wait for GPUs which are not there.

    Args:
        options: what the user fixed.
        gpus: of all nodes, as Ray counts them.

    Raises:
        UsageError: there are fewer than classifiers that ask for one.
    """
    wanted = options.actors or 1
    if needs_gpu(options.provider) and gpus < wanted:
        raise UsageError(
            f"compute.provider={options.provider} needs a GPU for each classifier, and Ray counts "
            f"{gpus} for {wanted}: start its nodes with --num-gpus, lower compute.actors, or take "
            "another provider"
        )


def _default_threads(cores: int, actors: int | None, nodes: int, groups: Sequence[int]) -> int:
    """Threads of an actor where the user names none.

    Actors of one thread are the fastest (4 % over one of two threads in int8, measured) and share
    their weights; on large nodes fewer actors save memory for activations and process starts. Of
    the thread counts that this allows, that one is taken which divides the groups of cores best,
    so that few actors stretch over two caches.
    """
    if actors is not None and actors < nodes * cores:
        return max(1, nodes * cores // actors)
    most = 1 if cores <= 4 else 2 if cores <= 16 else 4
    return min(
        range(most, 0, -1), key=lambda threads: sum(size % threads for size in groups or (most,))
    )
