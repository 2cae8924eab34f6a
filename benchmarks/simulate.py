"""Scheduling at scale on one machine: the real plan on simulated nodes, with a network that waits.

    python -m benchmarks.simulate --actors 64 --nodes 4 --seconds-an-image 0.074

Prints one line of JSON: the rate against the ideal, what the driver takes, what an actor takes.
0.074 s is a VGG-16 in int8 on one core with VNNI, 0.3 s in fp32.

Everything but the two costly functions (see waiting.py) is the pipeline as it is: the plan, its
actors and tasks, the passes, staging files, results.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import numpy as np

from benchmarks import waiting
from benchmarks.command_line import at_least_one, run
from vggbatch.bench.processes import memory, tree
from vggbatch.chunks.chunk import NumberedShard
from vggbatch.config import ComputeOptions, DecodeOptions, Preprocess
from vggbatch.config.protocol import Protocol
from vggbatch.errors import VggbatchError
from vggbatch.models.catalog import synset
from vggbatch.output.image_total import Total
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.progress import Progress
from vggbatch.pipeline.recipes import Recipe
from vggbatch.runs.progress.tracker import RunTracker
from vggbatch.sources.base import Member, Shard, members_table
from vggbatch.storage.filesystem import Folder
from vggbatch.versions import result_versions

if TYPE_CHECKING:
    from vggbatch.job.job import Job

_WARM_CHUNKS = 3
"""For each actor, before the rate counts: until then processes still start, all on a few cores."""

_INDEX_TASKS = 24
"""More would be processes of which this machine's few cores cannot run all."""


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
    """That the rate is taken for, once all classifiers are at work."""
    chunk_size: int = 128
    in_process: int = 1
    """Actors that are threads of one process."""


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
    driver_ms_a_chunk: float
    """The same for each chunk."""
    driver_bytes: int
    """PSS of the driver at the end."""
    driver_growth: int
    """By how much that grew while the rate was taken."""
    actor_bytes: float
    """PSS of one actor's process."""


@dataclass(frozen=True)
class _Driver:
    """Where the driver stands."""

    clock: float
    cpu: float
    """Seconds of a core that it has used."""
    size: int
    """PSS in bytes."""
    rows: int

    @staticmethod
    def now(rows: int) -> _Driver:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        return _Driver(time.perf_counter(), cpu, memory([os.getpid()]), rows)


class _Enough(Exception):
    """The time is over."""


def simulate(what: Simulation, folder: Path) -> Simulated:
    """Run the plan on a cluster of nodes that are processes of this machine.

    Args:
        what: the size of it.
        folder: for the output, which is real.

    Raises:
        VggbatchError: the cluster does not start, or the input is too small to take a rate.
        JobFailed: the plan failed.
    """
    os.environ["RAY_AUTH_MODE"] = "disabled"
    # hundreds of processes start on a few cores
    os.environ.setdefault("RAY_worker_register_timeout_seconds", "900")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    # as on a cluster of vggbatch's own: else workers end after a second without a task
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

    import ray

    from benchmarks.sharing import shared_processes
    from vggbatch.cluster.connection import ray_cluster
    from vggbatch.cluster.placement import place
    from vggbatch.executors.base import Work
    from vggbatch.executors.ray_data import dataset
    from vggbatch.executors.ray_data.gauges import StageGauges
    from vggbatch.executors.ray_data.passes import Passes
    from vggbatch.executors.ray_data.watchdog import Watchdog
    from vggbatch.runs.progress.telemetry import Telemetry

    # the workers cannot import it
    ray.cloudpickle.register_pickle_by_value(waiting)  # type: ignore[no-untyped-call]
    numbered = _shards(what)
    tracker = RunTracker(Progress(), Total(numbered, Progress()))
    warm = _WARM_CHUNKS * what.actors * min(what.chunk_size, what.images_a_shard)
    started: list[float] = []
    used: list[_Driver] = []

    def notify() -> None:
        if tracker.rows and not started:
            started.append(time.perf_counter())
        if tracker.rows >= warm and not used:
            used.append(_Driver.now(tracker.rows))
        if used and time.perf_counter() - used[0].clock > what.seconds:
            raise _Enough

    with ExitStack() as stack:
        lease = stack.enter_context(OutputLease(Folder(str(folder))))
        output = Output(lease.folder, fence=lease.fence)
        output.write_plan({}, numbered)
        address = stack.enter_context(_nodes(what))
        compute = ComputeOptions(
            address=address,
            actors=what.actors,
            threads=1,
        )
        cluster = stack.enter_context(ray_cluster(compute, chunk_bytes=0))
        stack.enter_context(dataset.data_context(cluster, compute, chunk_work=what.chunk_size))
        stack.enter_context(patch.object(dataset, "ClassifyAndAll", waiting.Waiting))
        if what.in_process > 1:
            stack.enter_context(shared_processes(what.in_process))
        placement = place(cluster.node_cpus, compute)
        placement = replace(placement, index_tasks=min(placement.index_tasks, _INDEX_TASKS))
        context = waiting.WaitingContext(
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
            in_process=what.in_process,
        )
        run_id = context.run_id
        telemetry = stack.enter_context(Telemetry(run_id, output.folder.uri, tracker))
        gauges = StageGauges(run_id, output.folder.uri)
        watchdog = stack.enter_context(Watchdog(run_id, placement, gauges, lambda line: None))
        job = cast("Job", None)  # all that the passes need of it is in the context
        work = Work(job, run_id, output, what.chunk_size, numbered, tracker.progress)
        results = stack.enter_context(closing(iter(Passes(work, context, placement, watchdog))))
        began = time.perf_counter()
        with suppress(_Enough):
            for result in results:
                if result is not None and result.stats is not None:
                    tracker.commit(result.key, result.stats)
                    telemetry.committed(result.stats)
                notify()
        actor_bytes = _actor_bytes()
        used.append(_Driver.now(tracker.rows))
    first, last = used[0], used[-1]
    if last.rows <= first.rows:
        raise VggbatchError("the input is too small: no image was left once all were at work")
    seconds = last.clock - first.clock
    rate = (last.rows - first.rows) / seconds
    chunk = min(what.chunk_size, what.images_a_shard)
    return Simulated(
        actors=what.actors,
        chunk_seconds=chunk * what.seconds_an_image,
        chunks_a_second=rate / chunk,
        images_a_second=rate,
        of_ideal=rate * what.seconds_an_image / what.actors,
        start_seconds=started[0] - began,
        driver_cores=(last.cpu - first.cpu) / seconds,
        driver_ms_a_chunk=1000 * chunk * (last.cpu - first.cpu) / (last.rows - first.rows),
        driver_bytes=last.size,
        driver_growth=last.size - first.size,
        actor_bytes=actor_bytes,
    )


def _shards(what: Simulation) -> list[NumberedShard]:
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


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=at_least_one, default=64)
    parser.add_argument("--nodes", type=at_least_one, default=4)
    parser.add_argument("--seconds-an-image", type=float, default=0.074)
    parser.add_argument("--shards", type=at_least_one, default=10_000)
    parser.add_argument("--images-a-shard", type=at_least_one, default=100)
    parser.add_argument("--chunk-size", type=at_least_one, default=128)
    parser.add_argument(
        "--in-process", type=at_least_one, default=1, help="actors in each process (threads of it)"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="that the rate is taken for")
    what = Simulation(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="vggbatch-simulate-") as folder:
        print(json.dumps(asdict(simulate(what, Path(folder)))))


if __name__ == "__main__":
    run(main)
