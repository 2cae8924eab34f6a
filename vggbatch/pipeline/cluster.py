"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

import ray
from ray.data import DataContext

from vggbatch.classifier.cores import cpu_mask, cpu_quota
from vggbatch.config import ComputeOptions
from vggbatch.errors import VggbatchError

_OBJECT_STORE_BASE = 160 * 2**20
_CHUNKS_PER_CPU = 8
"""Chunks of crops that may lie in the object store for each core: two at an actor, one being
decoded, and room for those that wait."""


@contextlib.contextmanager
def ray_cluster(options: ComputeOptions, *, chunk_bytes: int) -> Iterator[list[float]]:
    """A connection to Ray; gives the logical CPUs of each living node.

    A cluster that was joined, and one that the calling process had started before, stays up.

    Args:
        options: `address` to join, else a cluster of `num_cpus` on this machine.
        chunk_bytes: size of a chunk of crops, to size the object store.

    Raises:
        VggbatchError: the cluster does not answer.
    """
    ours = not ray.is_initialized()
    address = options.address or os.environ.get("RAY_ADDRESS")
    if ours:
        verbose = logging.getLogger("vggbatch").isEnabledFor(logging.DEBUG)
        settings: dict[str, Any] = {"log_to_driver": verbose}
        if address:
            settings["address"] = address
        else:
            cpus = options.num_cpus or usable_cpus()
            store = _OBJECT_STORE_BASE + cpus * _CHUNKS_PER_CPU * chunk_bytes
            settings |= {"num_cpus": cpus, "include_dashboard": False}
            settings |= {"object_store_memory": store}
        try:
            if verbose:
                ray.init(**settings)
            else:
                _quieten()
                with _silent_stderr():
                    ray.init(**settings, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            what = f"cannot join the Ray cluster at {address}" if address else "cannot start Ray"
            raise VggbatchError(f"{what}: {' '.join(str(error).split())}") from None
    try:
        yield [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    finally:
        if ours:
            ray.shutdown()


@contextlib.contextmanager
def data_context() -> Iterator[None]:
    """Ray Data set up for chunks as rows; the caller's own settings come back afterwards."""
    before = DataContext.get_current()
    context = before.copy()
    # a block for each row: a chunk must be neither merged with others nor split
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = 300
    DataContext._set_current(context)
    try:
        yield
    finally:
        DataContext._set_current(before)


def usable_cpus() -> int:
    """Cores that this process may use: its CPU mask, cut by a cgroup quota."""
    quota = cpu_quota()
    cores = len(cpu_mask())
    return max(1, min(cores, math.floor(quota)) if quota else cores)


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
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Throw away what native code prints while Ray starts; its failures come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
