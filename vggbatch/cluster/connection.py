"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.job_config import JobConfig

from vggbatch import process, uris
from vggbatch.cluster.ports import check_grpc_port
from vggbatch.cluster.private_ray import LOOPBACK, ensure_private_token, on_loopback
from vggbatch.cluster.quiet import silent_stderr
from vggbatch.config import ComputeOptions
from vggbatch.errors import VggbatchError

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
_LOST_HOST = ("RAY_grpc_client_keepalive_timeout_ms", "30000")
"""After so long without an answer a connection to another node counts as broken. That a host has
dropped off the network Ray tells its classifiers' callers, but not its tasks' (measured: by its
default of 120 s all work stood still for two to three minutes)."""


@dataclass(frozen=True)
class Cluster:
    """The cluster that a run is connected to."""

    node_cpus: list[float]
    """Logical CPUs of each living node."""
    own: bool
    """Started on this machine for this run alone: one node, which stays the only one."""
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
    ours = not ray.is_initialized()
    address = options.cluster_address
    if ours:
        verbose = logging.getLogger("vggbatch").isEnabledFor(logging.DEBUG)
        settings: dict[str, Any] = {"log_to_driver": verbose, "job_config": safe_job()}
        where: AbstractContextManager[None] = contextlib.nullcontext()
        if options.log_format == "json":
            settings["logging_config"] = ray.LoggingConfig(
                encoding="JSON", additional_log_standard_attrs=["name"]
            )
        if address:
            reach(address)
            settings |= _allowed_protocols()
            os.environ.setdefault(*_LOST_HOST)
            settings["address"] = address
        else:
            from vggbatch.classifier.cores import usable_cpus

            cpus = options.num_cpus or usable_cpus()
            store = _OBJECT_STORE_BASE + cpus * _CHUNKS_PER_CPU * chunk_bytes
            # `local`, for Ray would else join what somebody has started on this machine
            settings |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            settings |= {"object_store_memory": store, "_node_ip_address": LOOPBACK}
            ensure_private_token()
            where = on_loopback()
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            with _own_sigterm(), where:
                if verbose:
                    ray.init(**settings)
                else:
                    _quieten()
                    with silent_stderr():
                        ray.init(**settings, logging_level=logging.ERROR)
            warn_of_unsafe(settings["job_config"])
        except Exception as error:  # a node that is slow to start is a bare one of Ray's
            what = f"cannot join the Ray cluster at {address}" if address else "cannot start Ray"
            raise VggbatchError(f"{what}: {' '.join(str(error).split())}") from None
        finally:
            # its configuration is for the workers: this process has one of its own
            root.handlers[:] = handlers
            root.setLevel(level)
    try:
        alive = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in living_nodes()}
        here = ray.get_runtime_context().get_node_id()
        yield Cluster(list(alive.values()), own=ours and not address, here=alive.get(here, 0.0))
    finally:
        if ours:
            ray.shutdown()


class _ImportPath(list[str]):
    """What Ray puts first on its workers' path of imports, without the driver's current folder."""

    used = False

    def extend(self, folders: Iterable[str]) -> None:
        self.used = True
        super().extend(process.trusted(list(folders)))


def safe_job() -> JobConfig:
    """Settings of a job whose workers import nothing from the driver's current folder."""
    job = JobConfig()
    # Ray adds the folder to this list, and has no switch for it
    job._py_driver_sys_path = _ImportPath()
    return job


def warn_of_unsafe(job: JobConfig) -> None:
    """Say what is lost where Ray, which has taken a `safe_job`, did not use its path of imports."""
    folders = job._py_driver_sys_path
    if not (isinstance(folders, _ImportPath) and folders.used):
        log.warning(
            "this version of Ray keeps its workers' path of imports elsewhere: they may import "
            "Python files from the current folder; start runs in a folder that you trust"
        )


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


def _growth() -> Growth:
    """What the autoscaler has said of itself; nothing where there is none."""
    from vggbatch.cluster.placement import Growth

    try:
        config = ray._private.state.state.get_cluster_config()
    except Exception:
        config = None  # a client connection, or another Ray: no more than a bound is lost
    groups = list(config.node_group_configs) if config else []
    workers = [(group.max_count, int(group.resources.get("CPU", 0))) for group in groups]
    workers = [(count, cpus) for count, cpus in workers if count and cpus]
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
    """Keep the caller's way to end: Ray puts one in its place that prints its own stack."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    take_sigterm(handler)


def take_sigterm(handler: Any) -> None:
    """Let SIGTERM go to a handler again, where it can be said: in the main thread alone."""
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _quieten() -> None:
    """Ray's own messages go to its log folder, not to the user's terminal."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # the driver's C++ part writes to stderr and has no other switch
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # a worker that is ended after a second of idling must be started again at a second's cost
        "RAY_idle_worker_killing_time_threshold_ms": "600000",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # says that it connects, and that a thread which joins can set no handler of SIGTERM
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
