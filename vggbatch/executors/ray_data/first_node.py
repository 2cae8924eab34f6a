"""Waiting for the first node of a cluster. Imports no Ray Data, for the checks go before that."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import ray

from vggbatch.cluster.connection import Cluster, living_nodes
from vggbatch.executors.ray_data.wait import NO_NODE

_JOIN_TIMEOUT_S = 1800.0
"""Seconds that a cluster without any node for work is given to get one."""
_AGAIN_S = 60.0
"""Seconds from one line about the wait to the next."""


def await_node(
    cluster: Cluster,
    report: Callable[[str], None],
    *,
    timeout: float = _JOIN_TIMEOUT_S,
) -> Cluster:
    """Wait until a cluster that was joined has a node with a CPU, or one that it could start.

    Args:
        cluster: as it was when it was joined.
        report: called with a line at once, and again while nothing comes.
        timeout: seconds until the cluster is taken as it is.

    Returns:
        The cluster as it is now.
    """
    growth = cluster.growth
    if growth is None or growth.node_cpus or max(cluster.node_cpus, default=0) >= 1:
        return cluster
    started = said = time.monotonic()
    report(f"waiting for {NO_NODE}")
    # an autoscaler that says nothing of itself still counts what waits for a CPU
    demand = ray.remote(num_cpus=1)(_nothing).remote()
    try:
        while (now := time.monotonic()) - started < timeout:
            cpus = [node["Resources"].get("CPU", 0.0) for node in living_nodes()]
            if max(cpus) >= 1:
                return replace(cluster, node_cpus=cpus)
            if now - said >= _AGAIN_S:
                said = now
                report(f"waiting for {now - started:.0f} s for {NO_NODE}")
            time.sleep(1)
        return cluster
    finally:
        ray.cancel(demand)


def _nothing() -> None:
    pass
