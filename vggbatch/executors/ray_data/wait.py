"""What a run without progress waits for, from what can be seen of the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from vggbatch.cluster.placement import Placement
from vggbatch.executors.ray_data.stages import Stage

NO_NODE = "a node to join: the cluster has none with a logical CPU"
_NAMED = 3
"""Nodes that are named."""


@dataclass(frozen=True)
class ClusterSnapshot:
    """What can be known of a run without its results."""

    node_cpus: tuple[float, ...]
    """Logical CPUs of each living node."""
    free_cpus: float
    """Logical CPUs that are free."""
    stages: dict[str, Stage] | None
    """As `read_stages` gives them."""
    silent: tuple[str, ...] = ()
    """Addresses of nodes that do not answer and are not given up by Ray yet."""
    starting: int = 0
    """Classifiers that have their CPUs and are not ready yet."""


def describe_wait(seen: ClusterSnapshot, placement: Placement) -> str:
    """What a run without progress waits for: the end of a sentence."""
    total = sum(seen.node_cpus)
    if total < 1:
        return NO_NODE
    if seen.silent:
        what = "a node" if len(seen.silent) == 1 else f"{len(seen.silent)} nodes"
        names = ", ".join(seen.silent[:_NAMED])
        return f"{what} to answer, or to be given up by Ray: {names}"
    if seen.stages is None:
        return f"results ({seen.free_cpus:.4g} of {total:g} CPUs are free)"
    if not seen.stages:
        # its helpers take a CPU for a moment before the first stage starts
        why = _no_cpu(seen, placement.actor_cpus)
        return why or "Ray Data to start the stages"
    index, decode, classify, write = seen.stages.values()
    if classify.pending and not classify.actors:
        why = None if seen.starting else _no_cpu(seen, placement.actor_cpus)
        return why or f"{_count(classify.pending, 'classifier')} to start and open the model"
    if write.running or write.waiting:
        return f"the output's store: {_count(write.running + write.waiting, 'chunk')} to write"
    if classify.running and classify.restarting and not classify.busy:
        gone = _count(classify.restarting, "classifier")
        return f"{gone} to start again elsewhere, whose node or process is gone"
    if classify.running:
        chunks = _count(classify.running, "chunk")
        return f"{_count(classify.actors, 'classifier')} at work on {chunks}"
    if decode.running:
        return f"the input's store: {_count(decode.running, 'chunk')} to read and decode"
    return f"the input's store: {_count(index.running, 'task')} at work on indexes of shards"


def _no_cpu(seen: ClusterSnapshot, need: float) -> str | None:
    """Why no classifier gets a CPU; None where one could."""
    if max(seen.node_cpus) < need:
        return f"a larger node to join: a classifier takes {need:g} CPUs, no node has so many"
    total = sum(seen.node_cpus)
    if seen.free_cpus >= need:
        return None
    held = f"others hold {round(total - seen.free_cpus, 1):g} of the cluster's {total:g}"
    return f"free CPUs: a classifier takes {need:g}, {held}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
