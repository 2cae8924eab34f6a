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
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

from benchmarks import waiting
from benchmarks.command_line import at_least_one, run
from benchmarks.simulation import Measure, Simulated, Simulation
from vggbatch.config import ComputeOptions, DecodeOptions, Preprocess
from vggbatch.config.protocol import Protocol
from vggbatch.executors.base import Work
from vggbatch.models.catalog import synset
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.pipeline.recipes import Recipe
from vggbatch.storage.filesystem import Folder
from vggbatch.versions import result_versions

if TYPE_CHECKING:
    from vggbatch.chunks.result import ChunkResult
    from vggbatch.cluster.placement import Placement
    from vggbatch.job.job import Job
    from vggbatch.runs.progress.events import RunEvents

_INDEX_TASKS = 24
"""More would be processes of which this machine's few cores cannot run all."""


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
    from vggbatch.executors.ray_data import dataset
    from vggbatch.executors.ray_data.gauges import StageGauges
    from vggbatch.executors.ray_data.passes import Passes
    from vggbatch.executors.ray_data.watchdog import Watchdog
    from vggbatch.runs.progress.telemetry import Telemetry

    # the workers cannot import it
    ray.cloudpickle.register_pickle_by_value(waiting)  # type: ignore[no-untyped-call]
    measure = Measure(what, b"ray::MapWorker")
    with ExitStack() as stack:
        lease = stack.enter_context(OutputLease(Folder(str(folder))))
        output = Output(lease.folder, fence=lease.fence)
        output.write_plan({}, measure.shards)
        address = stack.enter_context(_nodes(what))
        compute = ComputeOptions(
            address=address,
            actors=what.actors,
            threads=1,
        )
        cluster = stack.enter_context(ray_cluster(compute, chunk_bytes=0))
        stack.enter_context(dataset.data_context(cluster, compute, chunk_work=what.chunk_size))
        stack.enter_context(patch.object(dataset, "FusedClassify", waiting.Waiting))
        if what.in_process > 1:
            stack.enter_context(shared_processes(what.in_process))
        placement = place(cluster.node_cpus, compute)
        placement = replace(placement, index_tasks=min(placement.index_tasks, _INDEX_TASKS))
        context = waiting_context(what, output)
        run_id = context.run_id
        telemetry = stack.enter_context(Telemetry(run_id, output.folder.uri, measure.tracker))
        gauges = StageGauges(run_id, output.folder.uri)
        watchdog = stack.enter_context(Watchdog(run_id, placement, gauges, lambda line: None))
        job = cast("Job", None)  # all that the passes need of it is in the context
        progress = measure.tracker.progress
        work = Work(job, run_id, output, what.chunk_size, measure.shards, progress)
        results = stack.enter_context(closing(iter(Passes(work, context, placement, watchdog))))
        return measure.follow(_counted(results, telemetry))


def _counted(
    results: Iterable[ChunkResult | None], telemetry: RunEvents
) -> Iterator[ChunkResult | None]:
    """The results, counted as a run does."""
    for result in results:
        if result is not None and result.stats is not None:
            telemetry.committed(result.stats)
        yield result


def simulate_local(what: Simulation, folder: Path) -> Simulated:
    """Run the local executor as if this machine had a core for each classifier.

    Args:
        what: the size of it; its nodes and processes are those of the executor.
        folder: for the output, which is real.

    Raises:
        VggbatchError: the input is too small to take a rate.
        ExecutionFailed: the executor failed.
    """
    from vggbatch.cluster.placement import place
    from vggbatch.executors.local import executor as local
    from vggbatch.executors.local import process

    measure = Measure(what, b"benchmarks.waiting_worker")
    with ExitStack() as stack:
        lease = stack.enter_context(OutputLease(Folder(str(folder))))
        output = Output(lease.folder, fence=lease.fence)
        output.write_plan({}, measure.shards)
        stack.enter_context(patch.object(process, "_MODULE", "benchmarks.waiting_worker"))
        stack.enter_context(patch.object(local, "network_opener", lambda job: lambda: None))
        first = stack.enter_context(process.WorkerProcess())
        executor = stack.enter_context(local.LocalExecutor(first))
        compute = ComputeOptions(num_cpus=what.actors, threads=1)
        executor.placement = place([float(what.actors)], compute)
        work = WaitingWork(
            cast("Job", None),
            "simulation",
            output,
            what.chunk_size,
            measure.shards,
            measure.tracker.progress,
            waiting_context(what, output),
        )
        return measure.follow(stack.enter_context(closing(executor.run(work))))


@dataclass(frozen=True)
class WaitingWork(Work):
    """Work without a job, which only says what networks there are and what they cost."""

    given: waiting.WaitingContext

    @property
    def chunk_work(self) -> float:
        """What a chunk costs."""
        return self.chunk_size

    def context(self, placement: Placement) -> waiting.WaitingContext:
        """What the stages need to know."""
        del placement
        return self.given


def waiting_context(what: Simulation, output: Output) -> waiting.WaitingContext:
    """What the stages of a simulation need to know."""
    return waiting.WaitingContext(
        output=output,
        chunk_size=what.chunk_size,
        recipes=(Recipe("zoo", "zoo", (Preprocess(),)),),
        protocol=Protocol(),
        decode=DecodeOptions(),
        classes=synset(),
        open_networks=waiting.no_model,
        threads=1,
        micro_batch=None,
        pin=False,
        features=None,
        run_id="simulation",
        versions=result_versions(),
        seconds_an_image=what.seconds_an_image,
        in_process=what.in_process,
    )


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
    parser.add_argument("--executor", choices=["ray", "local"], default="ray")
    options = vars(parser.parse_args())
    run_it = simulate if options.pop("executor") == "ray" else simulate_local
    what = Simulation(**options)
    with tempfile.TemporaryDirectory(prefix="vggbatch-simulate-") as folder:
        print(json.dumps(asdict(run_it(what, Path(folder)))))


if __name__ == "__main__":
    run(main)
