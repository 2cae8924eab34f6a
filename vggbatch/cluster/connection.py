"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray

from vggbatch import uris
from vggbatch.cluster.internals import (
    CONNECTING,
    init_on_loopback,
    node_groups,
    safe_job,
    wants_another_token,
    warn_of_unsafe,
)
from vggbatch.cluster.ports import check_grpc_port
from vggbatch.cluster.private_ray import ensure_private_token
from vggbatch.cluster.quiet import environment, log_level, silent_stderr
from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError, VggbatchError

if TYPE_CHECKING:
    from vggbatch.cluster.placement import Growth

log = logging.getLogger(__name__)

_OBJECT_STORE_BASE = 160 * 2**20
_CHUNKS_PER_CPU = 8
"""Chunks of crops that may lie in the object store for each core: two at an actor, one being
decoded, and room for those that wait."""
_CONNECT_TIMEOUT_S = 15.0
"""Seconds for a cluster's port to take a connection, and again to answer; Ray would try for
minutes."""
_LOST_HOST = {"RAY_grpc_client_keepalive_timeout_ms": "30000"}
"""After so long without an answer a connection to another node counts as broken. That a host has
dropped off the network Ray reports to its classifiers' callers, but not to its tasks' (measured:
by its default of 120 s all work stood still for two to three minutes)."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # the driver's C++ part writes to stderr and has no other switch
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # a worker that is ended after a second of idling must be started again at a second's cost
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
}
"""Variables with which Ray's own messages go to its log folder and not to the user's terminal."""
_SET_BY_RAY = ("PYTHONBREAKPOINT", "RAY_AUTH_MODE")
"""Variables that Ray sets in the driver: for its debugger, and that a token is wanted."""


@dataclass(frozen=True)
class Cluster:
    """The cluster that a run is connected to."""

    node_cpus: list[float]
    """Logical CPUs of each living node."""
    own: bool
    """Started on this machine for this run alone: one node, which stays the only one."""
    gpus: int = 0
    """GPUs of all living nodes, as Ray counts them."""
    here: float = 0.0
    """Logical CPUs of the node that this process is on; 0 where it is on none."""
    woken: Mapping[str, Any] = field(default_factory=dict)
    """Node id -> a task that was sent ahead (see joining.py), where one was."""

    @property
    def growth(self) -> Growth | None:
        """What nodes may join; None for an own cluster."""
        return None if self.own else _growth()


@contextlib.contextmanager
def ray_cluster(options: ComputeOptions, *, chunk_bytes: int) -> Iterator[Cluster]:
    """A connection to Ray.

    A cluster that was joined, and one that the calling process had started before, stays up.

    Args:
        options: `address` to join, else a cluster of `num_cpus` on this machine.
        chunk_bytes: size of a chunk of crops, to size the object store.

    Raises:
        VggbatchError: the cluster does not answer.
    """
    options.check_address()
    own = False
    with contextlib.ExitStack() as undone:
        if not ray.is_initialized():
            own = not options.cluster_address
            _connect(options, chunk_bytes, undone)
        alive = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in living_nodes()}
        here = ray.get_runtime_context().get_node_id()
        gpus = sum(int(node["Resources"].get("GPU", 0)) for node in living_nodes())
        yield Cluster(list(alive.values()), own=own, gpus=gpus, here=alive.get(here, 0.0))


def _connect(options: ComputeOptions, chunk_bytes: int, undone: contextlib.ExitStack) -> None:
    """Join a cluster or start one.

    Args:
        options: as of `ray_cluster`.
        chunk_bytes: as of `ray_cluster`.
        undone: gets what is to be undone at the end: all that this changes in the process.
    """
    verbose = logging.getLogger("vggbatch").isEnabledFor(logging.DEBUG)
    settings: dict[str, Any] = {"log_to_driver": verbose, "job_config": safe_job()}
    start: Callable[..., Any] = ray.init
    if options.log_format == "json":
        settings["logging_config"] = ray.LoggingConfig(
            encoding="JSON", additional_log_standard_attrs=["name"]
        )
    address = options.cluster_address
    variables: dict[str, str] = {}
    if address:
        reach(address)
        settings |= _allowed_protocols()
        variables |= _LOST_HOST
        settings["address"] = address
    else:
        from vggbatch.classifier.cores import usable_cpus

        cpus = options.num_cpus or usable_cpus()
        store = _OBJECT_STORE_BASE + cpus * _CHUNKS_PER_CPU * chunk_bytes
        # `local`, for Ray would else join what somebody has started on this machine
        settings |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        settings["object_store_memory"] = store
        variables |= ensure_private_token()
        start = init_on_loopback
    stderr: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if not verbose:
        variables |= _QUIET
        undone.enter_context(log_level(logging.ERROR, CONNECTING))
        settings["logging_level"] = logging.ERROR
        stderr = silent_stderr()
    undone.enter_context(environment(variables, _SET_BY_RAY))
    undone.enter_context(warnings.catch_warnings())  # what Ray imports has filters of its own
    undone.enter_context(_own_sigterm())
    undone.callback(ray.shutdown)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with stderr:
            start(**settings)
        warn_of_unsafe(settings["job_config"])
    except Exception as error:  # a node that is slow to start is a bare one of Ray's
        what = f"cannot join the Ray cluster at {address}" if address else "cannot start Ray"
        raise VggbatchError(f"{what}: {' '.join(str(error).split())}") from None
    finally:
        # its configuration is for the workers: this process has one of its own
        root.handlers[:] = handlers
        root.setLevel(level)
        take_sigterm(handler)


def _allowed_protocols() -> dict[str, Any]:
    """Let the workers of a cluster that is joined open what this process may open.

    Those of a job that was submitted have the job's environment.
    """
    more = os.environ.get(uris.VARIABLE)
    if not more or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {"runtime_env": {"env_vars": {uris.VARIABLE: more}}}


def living_nodes() -> list[dict[str, Any]]:
    """The nodes that Ray takes for alive, as it describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def reach(address: str) -> None:
    """Find out whether something that may be Ray listens, where an address says where.

    Raises:
        VggbatchError: it does not.
        UsageError: it is Ray, and wants a token.
    """
    named = re.fullmatch(r"\[?(.+?)\]?:(\d+)", address)
    if named is None:
        return  # as `auto`, which Ray looks up
    try:
        check_grpc_port(named[1], int(named[2]), _CONNECT_TIMEOUT_S)
    except OSError as error:
        raise VggbatchError(
            f"cannot join the Ray cluster at {address}: {error.strerror or error}; `ray start "
            "--head` prints the address, by default port 6379 (8265 is for `vggbatch submit`)"
        ) from None
    if wants_another_token(address):
        raise UsageError(
            f"the Ray cluster at {address} wants a token, and there is none here or another one: "
            "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file "
            "(else ~/.ray/auth_token)"
        )


def _growth() -> Growth:
    """What the autoscaler has said of itself; nothing where there is none."""
    from vggbatch.cluster.placement import Growth

    workers = [(count, cpus) for count, cpus in node_groups() if count and cpus]
    if not workers:
        return Growth()
    # a negative limit means none
    bounded = all(count > 0 for count, _ in workers)
    return Growth(
        cpus=sum(count * cpus for count, cpus in workers) if bounded else None,
        node_cpus=max(cpus for _, cpus in workers),
    )


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put the caller's way to end back at the end, also the default one.

    Within the block Ray's stays in place of that: it ends what Ray has started.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def take_sigterm(handler: Any) -> None:
    """Let SIGTERM go to the caller's handler again, in whose place Ray puts one with its own stack.

    In the main thread alone, for no other may.
    """
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
