"""Scheduling at scale on one machine: the real plan on simulated nodes, with a network that waits.

Everything but the two costly functions (see waiting.py) is the pipeline as it is: the plan, its
actors and tasks, the passes, staging files, receipts.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from vggbatch.bench.measure import steady_rate
from vggbatch.bench.processes import memory, tree
from vggbatch.bench.waiting import Waiting, WaitingScoring, decode
from vggbatch.config import ComputeOptions, DecodeOptions, Preprocess
from vggbatch.config.protocol import Protocol
from vggbatch.models import synset
from vggbatch.pipeline.probe import result_versions
from vggbatch.pipeline.recipe import Recipe
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.tally import Tally
from vggbatch.sources.base import Member, Shard, members_table
from vggbatch.storage import Folder

_WARM_CHUNKS = 1.5
"""For each actor, before the rate counts: the first ones all end at the same moment."""


@dataclass(frozen=True)
class Simulation:
    """What to simulate."""

    actors: int
    nodes: int
    seconds_an_image: float
    """That an actor takes."""
    shards: int
    images_a_shard: int
    seconds: float
    """To run, from the first chunk on."""
    chunk_size: int = 128


@dataclass(frozen=True)
class Simulated:
    """What was seen."""

    actors: int
    chunk_seconds: float
    """That a chunk takes an actor."""
    chunks_a_second: float
    images_a_second: float
    of_ideal: float
    """Rate divided by actors / seconds an image."""
    start_seconds: float
    """From the start of scoring to the first chunk: as many processes as actors must start."""
    driver_cores: float
    """CPU seconds of the driver for each second, while the rate was taken."""
    driver_bytes: int
    """PSS of the driver at the end."""
    driver_growth: int
    """By how much that grew while the rate was taken."""
    actor_bytes: float
    """PSS of one actor's process."""


class _Enough(Exception):
    """The time is over."""


def simulate(what: Simulation, folder: Path) -> Simulated:
    """Run the plan on a cluster of nodes that are processes of this machine.

    Args:
        what: the size of it.
        folder: for the output, which is real.

    Raises:
        VggbatchError: the cluster does not start.
        JobFailed: the plan failed.
    """
    os.environ["RAY_AUTH_MODE"] = "disabled"
    # hundreds of processes start on a few cores
    os.environ.setdefault("RAY_worker_register_timeout_seconds", "900")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

    from vggbatch.pipeline import plan
    from vggbatch.pipeline.cluster import data_context, ray_cluster
    from vggbatch.pipeline.passes import Passes
    from vggbatch.pipeline.placement import place
    from vggbatch.pipeline.telemetry import Telemetry

    numbered = _shards(what)
    output = Output(Folder(str(folder)))
    output.write_plan({}, numbered)
    tally = Tally(output.progress(), what.shards * what.images_a_shard)
    warm = _WARM_CHUNKS * what.actors * min(what.chunk_size, what.images_a_shard)
    marks: list[tuple[float, int]] = []
    used: list[tuple[float, float, int]] = []
    """Clock, CPU time and memory of the driver when the rate begins to count and last."""

    def notify() -> None:
        now = time.time()
        marks.append((now, tally.rows))
        if tally.rows >= warm and not used:
            used.append(_driver())
        if now - marks[0][0] > what.seconds:
            raise _Enough

    with ExitStack() as stack:
        address = stack.enter_context(_nodes(what))
        # decoding takes no time here: few of its tasks, each a process, keep the classifiers busy
        compute = ComputeOptions(
            address=address, actors=what.actors, threads=1, decode_tasks=max(2, what.actors // 8)
        )
        cluster = stack.enter_context(ray_cluster(compute, chunk_bytes=0))
        stack.enter_context(data_context(cluster, compute, chunk_work=what.chunk_size))
        stack.enter_context(patch.multiple(plan, Classify=Waiting, decode=decode))
        placement = place(cluster.node_cpus, compute)
        scoring = WaitingScoring(
            output=output,
            chunk_size=what.chunk_size,
            recipes=(Recipe("zoo", "zoo", (Preprocess(),)),),
            protocol=Protocol(),
            decode=DecodeOptions(),
            classes=synset(),
            open_networks=_no_model,
            threads=1,
            micro_batch=None,
            pin=False,
            features=None,
            run_id="simulation",
            versions=result_versions(),
            seconds_an_image=what.seconds_an_image,
        )
        telemetry = stack.enter_context(Telemetry(scoring.run_id, output.folder.uri, tally))
        passes = Passes(output, {0: list(range(what.shards))}, 10**9, tally, notify, telemetry)
        began = time.time()
        with suppress(_Enough):
            passes.run(numbered, scoring, placement)
        actor_bytes = _actor_bytes()
        used.append(_driver())
    counted = [(moment, rows) for moment, rows in marks if rows >= warm]
    steps = [(b[0], b[1] - a[1]) for a, b in pairwise(counted)]
    rate = steady_rate(steps) or 0.0
    (clock, cpu, size), (clock_end, cpu_end, size_end) = used[0], used[-1]
    chunk = min(what.chunk_size, what.images_a_shard)
    return Simulated(
        actors=what.actors,
        chunk_seconds=chunk * what.seconds_an_image,
        chunks_a_second=rate / chunk,
        images_a_second=rate,
        of_ideal=rate * what.seconds_an_image / what.actors,
        start_seconds=marks[0][0] - began,
        driver_cores=(cpu_end - cpu) / max(1e-9, clock_end - clock),
        driver_bytes=size_end,
        driver_growth=size_end - size,
        actor_bytes=actor_bytes,
    )


def _shards(what: Simulation) -> list[tuple[int, int, Shard]]:
    names = [f"{image:04d}.jpg" for image in range(what.images_a_shard)]
    members = members_table([Member(name, 0, 130_000, None, f"file:///{name}") for name in names])
    size = 130_000 * what.images_a_shard
    return [
        (number, 0, Shard("files", "", f"{number:06d}", size, "", members))
        for number in range(what.shards)
    ]


def _no_model() -> Any:
    raise NotImplementedError("a network that waits has no file")


@contextmanager
def _nodes(what: Simulation) -> Iterator[str]:
    """The address of a cluster whose head has no CPU, with an even share of the actors a node."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 200 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(what.nodes):
            cpus = -(-what.actors // what.nodes)
            cluster.add_node(num_cpus=cpus, object_store_memory=200 * 2**20)
        yield str(cluster.address)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _driver() -> tuple[float, float, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime, memory([os.getpid()])


def _actor_bytes() -> float:
    """PSS of the processes that hold an actor of the plan, on average."""
    found = []
    for process in tree(os.getpid()):
        try:
            title = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::") and b"MapWorker" in title:
            found.append(memory([process]))
    return float(np.mean(found)) if found else 0.0
