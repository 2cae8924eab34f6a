"""The Ray executor: the stages as a Ray Data plan over the nodes of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from vggbatch.cluster.connection import Cluster, ray_cluster
from vggbatch.config import ComputeOptions
from vggbatch.executors.pandas_later import know_pandas
from vggbatch.executors.ray_data.joining import Joining

if TYPE_CHECKING:
    from vggbatch.chunks.result import ChunkResult
    from vggbatch.cluster.placement import Placement
    from vggbatch.executors.base import Report, Work
    from vggbatch.executors.ray_data.watchdog import Watchdog
    from vggbatch.job.job import Job
    from vggbatch.output.layout import Output
    from vggbatch.pipeline.stages import StageContext


class RayDataExecutor:
    """Scores chunks on a Ray cluster, one that is joined or one that is started for the run.

    Args:
        options: `address` of the cluster, or `num_cpus` of one of its own.
    """

    name = "ray"

    def __init__(self, options: ComputeOptions) -> None:
        self.placement: Placement | None = None
        self._options = options
        self._joining: Joining | None = None
        self._cluster: Cluster | None = None
        self._ended = ExitStack()
        self._thread = ThreadPoolExecutor(1, "beside the run")
        self._watchdog: Watchdog | None = None
        self._few = False
        self._report: Report = lambda line: None

    def __enter__(self) -> RayDataExecutor:
        # Linux ends what a thread has started with that thread, so no Ray is started in one
        if _may_join(self._options):
            self._joining = self._ended.enter_context(Joining(self._options))
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._ended.close()

    def prepare(self, job: Job, run_id: str, output: Output) -> None:
        """Nothing: the cluster is being joined already."""

    def check(self, job: Job, report: Report) -> Placement:
        """Join the cluster and let its nodes look at themselves."""
        from vggbatch.cluster.preflight import check
        from vggbatch.executors.ray_data.first_node import await_node

        self._report = report
        self._cluster = await_node(self._joined(job), report)
        self.placement = check(
            job,
            self._cluster,
            report,
            lambda placement: Thread(target=_load_ray_data, daemon=True).start(),
        )
        return self.placement

    def run(self, work: Work) -> Generator[ChunkResult | None, None, None]:
        """Score what is left."""
        _load_ray_data()
        import ray

        from vggbatch.executors.ray_data.dataset import data_context
        from vggbatch.executors.ray_data.fused import few_listed
        from vggbatch.executors.ray_data.gauges import StageGauges
        from vggbatch.executors.ray_data.model_broadcast import StoredLabels, broadcast_models
        from vggbatch.executors.ray_data.passes import Passes
        from vggbatch.executors.ray_data.watchdog import Watchdog
        from vggbatch.job.networks import network_opener

        assert self._cluster is not None, "check comes first"
        assert self.placement is not None, "check comes first"
        job, context = work.job, work.context(self.placement)
        if not self._cluster.own:
            sources = broadcast_models(job.models, job.config.cache_dir)
            context = replace(context, open_networks=network_opener(job, sources))
        if job.labels is not None:
            context = replace(context, labels=StoredLabels(ray.put(job.labels)))
        placement = _worthwhile(work, context, self.placement)
        self._few = few_listed(work.remaining(), work.chunk_size)
        gauges = StageGauges(work.run_id, work.output.folder.uri)
        with (
            data_context(self._cluster, job.config.compute, chunk_work=work.chunk_work),
            Watchdog(work.run_id, self.placement, gauges, self._report) as self._watchdog,
        ):
            yield from Passes(work, context, placement, self._watchdog)

    def waiting_for(self) -> str | None:
        """What the stages, the nodes or the stores are at, as of a few seconds ago."""
        return self._watchdog.waiting_for if self._watchdog is not None else None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in a task; for few rows, or before a cluster is joined, in a thread."""
        if self._cluster is None or self._few:
            return self._thread.submit(function, *arguments)
        import ray

        # no CPU of its own: it must be able to run while actors and tasks hold all there are
        task: Any = ray.remote(num_cpus=0, max_retries=3)(function)
        return _plain(task.remote(*arguments).future())

    def _joined(self, job: Job) -> Cluster:
        if self._joining is not None:
            return self._joining.cluster()
        chunk_bytes = job.chunk_size * job.resized_bytes
        return self._ended.enter_context(ray_cluster(job.config.compute, chunk_bytes=chunk_bytes))


def _worthwhile(work: Work, context: StageContext, placement: Placement) -> Placement:
    """The placement, with no more tasks than what is left is worth; the user's number stands."""
    sizes = [shard.size for _, _, shard in work.remaining()]
    if work.job.config.compute.decode_tasks is not None or min(sizes, default=0) <= 0:
        return placement
    pictures = len(context.pictures.resize_specs) * context.pictures.scales
    return placement.for_bytes(sum(sizes) * pictures)


def _may_join(options: ComputeOptions) -> bool:
    """Whether a cluster can be joined in a thread, and has not been joined yet."""
    ray = sys.modules.get("ray")
    joined = ray is not None and ray.is_initialized()
    return not joined and options.cluster_address not in (None, "local")


def _load_ray_data() -> None:
    """A second of imports, which other threads had better not begin from another end."""
    know_pandas()
    import_module("vggbatch.executors.ray_data.passes")


def _plain(task: Future[Any]) -> Future[Any]:
    """A future whose error is what the function raised, without what Ray puts around it."""
    plain: Future[Any] = Future()
    plain.set_running_or_notify_cancel()

    def pass_on(done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            plain.set_result(done.result())
        else:
            plain.set_exception(getattr(error, "cause", None) or error)

    task.add_done_callback(pass_on)
    return plain
