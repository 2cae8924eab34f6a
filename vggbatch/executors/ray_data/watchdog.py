"""A look at a run on a cluster every few seconds: nodes that come and go, what it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import ray

from vggbatch.cluster.connection import living_nodes
from vggbatch.cluster.internals import starting_actors
from vggbatch.cluster.placement import Placement
from vggbatch.cluster.ports import check_grpc_port, unresponsive_nodes
from vggbatch.executors.ray_data.gauges import StageGauges
from vggbatch.executors.ray_data.internals import read_stages, want_classifiers
from vggbatch.executors.ray_data.wait import ClusterSnapshot, describe_wait
from vggbatch.pipeline.run_logging import RunLogger

_AGAIN_S = 60.0
"""Seconds from one line about the same wait to the next."""
_NODE_TIMEOUT_S = 3.0
"""Seconds for a node to take a connection, and again to answer."""
_HEAD_TIMEOUT_S = 8.0
"""Seconds without an answer of the head until that is said; Ray ends a driver without a word when
it has been so for 60."""


class Watchdog:
    """A thread that looks at a run from `with` to its end.

    Args:
        run_id: for log lines.
        placement: what the run asks of the cluster.
        gauges: set at every look.
        report: called from this thread with a line where the head does not answer.
    """

    look = 5.0
    """Seconds between two looks at the cluster."""
    quiet = 15.0
    """Seconds without a result from which on every look finds out what the run waits for."""

    def __init__(
        self,
        run_id: str,
        placement: Placement,
        gauges: StageGauges,
        report: Callable[[str], None],
    ) -> None:
        self.log = RunLogger(__name__, run_id)
        self.placement = placement
        self.gauges = gauges
        self.report = report
        self.waiting_for: str | None = None
        """What the run waits for, as of the last look; None while it has progress."""
        self._progress = self._heard = time.monotonic()
        self._head = _head()
        self._nodes = _by_id(living_nodes())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        # no longer than a look: it may hang on a cluster that is gone
        self._thread.join(self.look)
        want_classifiers(0)
        self.gauges.rest()

    def progressed(self) -> None:
        """A result has come."""
        self._progress = time.monotonic()
        self.waiting_for = None

    def _run(self) -> None:
        while not self._done.wait(self.look):
            try:
                self._listen()
                self._note_nodes()
                self.gauges.show(read_stages() or {})
                if time.monotonic() - self._progress > self.quiet:
                    self.waiting_for = describe_wait(self._snapshot(), self.placement)
                    self.log.info("no progress, waiting for %s", self.waiting_for)
            except Exception as error:
                # the run itself finds out what it means that the cluster does not answer
                self.log.debug("the cluster does not answer: %s", error)

    def _listen(self) -> None:
        """Report a head that does not answer, while there is time.

        Raises:
            OSError: it does not, and to ask it for anything would not come back.
        """
        if self._head is None:
            return
        try:
            check_grpc_port(*self._head, _NODE_TIMEOUT_S)
        except OSError:
            now = time.monotonic()
            if now - self._heard > _HEAD_TIMEOUT_S:
                self._heard = now + _AGAIN_S
                address = ":".join(map(str, self._head))
                self.log.info("the head does not answer", extra={"address": address})
                self.report(
                    f"the cluster's head at {address} does not answer; if that lasts, Ray ends "
                    "this run within a minute, and the same command continues where it stopped"
                )
            raise
        self._heard = time.monotonic()

    def _note_nodes(self) -> None:
        nodes, known = _by_id(living_nodes()), self._nodes
        for event, some, others in (("joined", nodes, known), ("left", known, nodes)):
            for name in some.keys() - others.keys():
                address = some[name]["NodeManagerAddress"]
                cpus = some[name]["Resources"].get("CPU", 0.0)
                fields = {"node": name, "address": address, "cpus": cpus}
                self.log.info("node %s", event, extra=fields)
        self._nodes = nodes
        if self.placement.elastic:
            cpus = (node["Resources"].get("CPU", 0.0) for node in nodes.values())
            want_classifiers(self.placement.room(cpus))

    def _snapshot(self) -> ClusterSnapshot:
        nodes = living_nodes()
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        return ClusterSnapshot(
            node_cpus=tuple(node["Resources"].get("CPU", 0.0) for node in nodes),
            free_cpus=free.get("CPU", 0.0),
            stages=read_stages(),
            silent=unresponsive_nodes(nodes, _NODE_TIMEOUT_S),
            starting=starting_actors("Classify"),
        )


def _head() -> tuple[str, int] | None:
    """Where the cluster's head listens; None where it cannot be known."""
    try:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return host.strip("[]"), int(port)
    except Exception:
        return None  # a client connection: no more than a line is lost


def _by_id(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {node["NodeID"]: node for node in nodes}
