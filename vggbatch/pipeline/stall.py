"""A run that gets nowhere says what it waits for; nodes that come and go are noted and used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ray

from vggbatch.pipeline.cluster import Cluster, living_nodes
from vggbatch.pipeline.greeting import greet, silent_nodes
from vggbatch.pipeline.placement import Placement
from vggbatch.pipeline.runlog import RunLogger
from vggbatch.pipeline.stages import Stage, awaited_between_passes, read_stages, want_classifiers

_JOIN_PATIENCE = 1800.0
"""Seconds that a cluster without any node for work is given to get one."""
_AGAIN = 60.0
"""Seconds from one line about the same wait to the next."""
_GREETING_PATIENCE = 3.0
"""Seconds for a node to take a connection, and again to answer."""
_HEAD_PATIENCE = 8.0
"""Seconds without an answer of the head until that is told; Ray ends a driver without a word when
it has been so for 60."""
_NAMED = 3
_NO_NODE = "a node to join: the cluster has none with a logical CPU"


@dataclass(frozen=True)
class View:
    """What can be known of a run without its receipts."""

    node_cpus: tuple[float, ...]
    """Logical CPUs of each living node."""
    free_cpus: float
    """Logical CPUs that nobody holds."""
    stages: dict[str, Stage] | None
    """As `read_stages` gives them."""
    between: str = ""
    """What is waited for where there are no stages; nothing: for them to start."""
    silent: tuple[str, ...] = ()
    """Addresses of nodes that do not answer and are not given up by Ray yet."""
    starting: int = 0
    """Classifiers that have their CPUs and are not ready yet."""


class Watch:
    """A thread that looks at a run from `with` to its end.

    Args:
        run_id: for log lines.
        placement: what the run asks of the cluster.
        sample: called at every look.
        tell: called with a line when no receipt has come for a while. Both are called from the
            watching thread.
    """

    patience = 30.0
    """Seconds without a receipt until the first line."""
    look = 5.0
    """Seconds between two looks at the cluster."""

    def __init__(
        self,
        run_id: str,
        placement: Placement,
        sample: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.log = RunLogger(__name__, run_id)
        self.placement = placement
        self.sample = sample
        self.tell = tell
        self._moved = self._heard = time.monotonic()
        self._head = _head()
        self._told = -_AGAIN
        self._nodes = _by_id(living_nodes())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        # no longer than a look: it may hang on a cluster that is gone
        self._thread.join(self.look)
        want_classifiers(0)

    def moved(self) -> None:
        """A receipt has come."""
        self._moved = time.monotonic()

    def _run(self) -> None:
        while not self._done.wait(min(self.look, self.patience)):
            try:
                self._listen()
                self._note_nodes()
                self.sample()
                self._look()
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
            greet(*self._head, _GREETING_PATIENCE)
        except OSError:
            now = time.monotonic()
            if now - self._heard > _HEAD_PATIENCE:
                self._heard = now + _AGAIN
                address = ":".join(map(str, self._head))
                self.log.info("the head does not answer", extra={"address": address})
                self.tell(
                    f"the cluster's head at {address} does not answer; if that lasts, Ray ends "
                    "this run within a minute, and the same command goes on where it stopped"
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

    def _look(self) -> None:
        now = time.monotonic()
        silent = now - self._moved
        if silent < self.patience or now - self._told < _AGAIN:
            return
        self._told = now
        nodes = living_nodes()
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        view = View(
            node_cpus=tuple(node["Resources"].get("CPU", 0.0) for node in nodes),
            free_cpus=free.get("CPU", 0.0),
            stages=read_stages(),
            between=awaited_between_passes(),
            silent=silent_nodes(nodes, _GREETING_PATIENCE),
            starting=starting_classifiers(),
        )
        reason = explain(view, self.placement)
        self.log.info("no progress for %.0f s, waiting for %s", silent, reason)
        self.tell(f"no progress for {silent:.0f} s, waiting for {reason}")


def _head() -> tuple[str, int] | None:
    """Where the cluster's head listens; None where it cannot be known."""
    try:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return host.strip("[]"), int(port)
    except Exception:
        return None  # a client connection: no more than a line is lost


def starting_classifiers() -> int:
    """Classifiers of this process that have a place on a node and are not ready yet."""
    try:
        job = ray.JobID(bytes.fromhex(ray.get_runtime_context().get_job_id()))
        found = ray._private.state.actors(job_id=job, actor_state_name="PENDING_CREATION")
        return sum(
            "Classify" in actor["ActorClassName"] and bool(actor["Address"]["IPAddress"])
            for actor in found.values()
        )
    except Exception:
        return 0  # a client connection, or another Ray: no more than a detail is lost


def _by_id(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {node["NodeID"]: node for node in nodes}


def await_node(
    cluster: Cluster,
    tell: Callable[[str], None],
    *,
    patience: float = _JOIN_PATIENCE,
) -> Cluster:
    """Wait until a cluster that was joined has a node with a CPU, or one that it could start.

    Args:
        cluster: as it was when it was joined.
        tell: called with a line at once, and again while nothing comes.
        patience: seconds until the cluster is taken as it is.

    Returns:
        The cluster as it is now.
    """
    growth = cluster.growth
    if growth is None or growth.node_cpus or max(cluster.node_cpus, default=0) >= 1:
        return cluster
    started = told = time.monotonic()
    tell(f"waiting for {_NO_NODE}")
    # an autoscaler that says nothing of itself still counts what waits for a CPU
    demand = ray.remote(num_cpus=1)(_nothing).remote()
    try:
        while (now := time.monotonic()) - started < patience:
            cpus = [node["Resources"].get("CPU", 0.0) for node in living_nodes()]
            if max(cpus) >= 1:
                return replace(cluster, node_cpus=cpus)
            if now - told >= _AGAIN:
                told = now
                tell(f"waiting for {now - started:.0f} s for {_NO_NODE}")
            time.sleep(1)
        return cluster
    finally:
        ray.cancel(demand)


def _nothing() -> None:
    pass


def explain(view: View, placement: Placement) -> str:
    """What a run without progress waits for: the end of a sentence."""
    total = sum(view.node_cpus)
    if total < 1:
        return _NO_NODE
    if view.silent:
        what = "a node" if len(view.silent) == 1 else f"{len(view.silent)} nodes"
        names = ", ".join(view.silent[:_NAMED])
        return f"{what} to answer, or to be given up by Ray: {names}"
    if view.stages is None:
        return f"receipts ({view.free_cpus:.4g} of {total:g} CPUs are free)"
    if not view.stages:
        # its helpers take a CPU for a moment before the first stage starts
        why = view.between or _no_cpu(view, placement.actor_cpus)
        return why or "Ray Data to start the stages"
    index, decode, classify, write = view.stages.values()
    if classify.pending and not classify.actors:
        why = None if view.starting else _no_cpu(view, placement.actor_cpus)
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


def _no_cpu(view: View, need: float) -> str | None:
    """Why no classifier gets a CPU; None where one could."""
    if max(view.node_cpus) < need:
        return f"a larger node to join: a classifier takes {need:g} CPUs, no node has so many"
    total = sum(view.node_cpus)
    if view.free_cpus >= need:
        return None
    held = f"others hold {round(total - view.free_cpus, 1):g} of the cluster's {total:g}"
    return f"free CPUs: a classifier takes {need:g}, {held}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
