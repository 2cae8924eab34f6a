"""Joining a cluster in a thread, beside the job's own checks, which take as long.

The nodes are woken at once: each starts a process for this driver and imports in it what the checks
before the run need (see preflight.py), which takes a second from the first word to the answer.
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

# all that the thread needs: two threads that import the same packages can lock each other out
import pyarrow  # noqa: F401
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vggbatch.cluster.connection import Cluster, living_nodes, ray_cluster, reach, take_sigterm
from vggbatch.config import ComputeOptions

_LEAVE_S = 5.0
"""Seconds that leaving waits for Ray to have joined; it takes a fifth of one, or minutes."""


class Joining:
    """A cluster that is joined from `with` on, and left at its end, joined or not.

    Args:
        options: with an address.
    """

    def __init__(self, options: ComputeOptions) -> None:
        self._options = options
        self._left = ExitStack()
        self._cluster: Cluster | None = None
        self._error: Exception | None = None
        self._abandoned = False
        self._turn = threading.Lock()
        """Held while Ray is at it: it can be neither interrupted nor left halfway."""
        self._thread = threading.Thread(target=self._join, name="join", daemon=True)

    def __enter__(self) -> Joining:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._abandoned = True
        if self._turn.acquire(timeout=_LEAVE_S):
            try:
                self._left.close()
            finally:
                self._turn.release()

    @property
    def found(self) -> Cluster | None:
        """The cluster, if it is joined by now."""
        return self._cluster

    def cluster(self) -> Cluster:
        """The cluster, once it is joined.

        Raises:
            VggbatchError: it does not answer.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._cluster is not None, "joined, or it is an error"
        # Python's own was kept, as the thread could set none; the one below it is Ray's by now
        take_sigterm(signal.getsignal(signal.SIGTERM))
        return self._cluster

    def _join(self) -> None:
        try:
            reach(self._options.cluster_address or "")
            with self._turn:
                if not self._abandoned:
                    cluster = ray_cluster(self._options, chunk_bytes=0)
                    found = self._left.enter_context(cluster)
                    self._cluster = replace(found, woken=_wake_nodes())
        except Exception as error:
            self._error = error


def _wake_nodes() -> dict[str, Any]:
    """Node id -> a task that imports there what the checks need."""

    def wake() -> None:
        # the checks report what is wrong with a node
        with suppress(Exception):
            __import__("vggbatch.cluster.node_report")

    task = ray.remote(num_cpus=0, max_retries=0)(wake)
    woken = {}
    for node in living_nodes():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        woken[node["NodeID"]] = task.options(scheduling_strategy=there, name="wake").remote()
    return woken
