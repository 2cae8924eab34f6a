"""The rest of a run, what its output lacks: scored by a head start, by Ray Data, or by both.

A head start begins as soon as the checks have passed. Where it is expected to be done soon it is
left alone, and Ray Data is not even imported; else Ray Data's plan leaves its chunks out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from vggbatch.classifier import NetworkSpec
from vggbatch.errors import UsageError
from vggbatch.pipeline.alone import (
    classifiers_on,
    first_work,
    opens_at_once,
    score_alone,
    seconds_alone,
)
from vggbatch.pipeline.chunk import NumberedShard
from vggbatch.pipeline.early import Early
from vggbatch.pipeline.fitness import check_own_machine
from vggbatch.pipeline.headstart import HeadStart
from vggbatch.pipeline.job import Job, network_opener
from vggbatch.pipeline.local import Work
from vggbatch.pipeline.pandas_later import know_pandas
from vggbatch.pipeline.pipeline import Scoring
from vggbatch.pipeline.placement import Placement, place, place_here
from vggbatch.pipeline.probe import result_versions
from vggbatch.pipeline.progress import Progress
from vggbatch.pipeline.resume import Planned
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.tally import Tally

if TYPE_CHECKING:
    from vggbatch.pipeline.cluster import Cluster
    from vggbatch.pipeline.telemetry import Telemetry


class Notify(Protocol):
    """What watches the run."""

    def __call__(self, note: str | None = None) -> None:
        """Tell how far the run is, with a line that should be seen."""


@dataclass(frozen=True)
class Rest:
    """What is left to score, and all that it takes."""

    job: Job
    run_id: str
    output: Output
    numbered: list[NumberedShard]
    """The whole input."""
    groups: dict[int, list[int]]
    """Group number -> numbers of its shards."""
    planned: Planned
    tally: Tally
    """Knows what is committed, and counts on."""
    notify: Notify

    def score(self, early: Early) -> Placement:
        """Score it.

        Args:
            early: what is under way already.

        Returns:
            The shape of the run.

        Raises:
            UsageError: no classifier fits, or a node is not fit for the run.
            VggbatchError: the cluster does not answer.
            JobFailed: what is left cannot be scored, with the reason.
        """
        self.tally.start()
        head = early.head
        if head is not None and self.job.config.compute.cluster_address is None:
            placement = self._on_this_machine(head)
            if placement is not None:
                return placement
            # where another run has taken the output over, its writes have failed
            self.output.fence.check()
        with ExitStack() as stack:
            if early.joining is not None:
                cluster = early.joining.cluster()
            else:
                # only here, as all that imports Ray: a short run does without
                from vggbatch.pipeline.cluster import ray_cluster

                chunk_bytes = self.planned.chunk_size * self.job.picture_bytes
                cluster = stack.enter_context(
                    ray_cluster(self.job.config.compute, chunk_bytes=chunk_bytes)
                )
            return self._on_cluster(cluster, head)

    def _on_this_machine(self, head: HeadStart) -> Placement | None:
        """Without Ray, as far as that goes; None: it is needed."""
        placement = check_own_machine(self.job, self.notify)
        cores = placement.actors * placement.threads
        head.begin(self._first_work(placement, cores, gives_way=True), self._chunk_work)
        # its classifiers wait for the same file; here its faults come to light at once
        network_opener(self.job)()
        limit = self.job.config.compute.ray_after
        done = score_alone(head, self.numbered, self.tally, limit, self.notify)
        return placement if done else None

    def _on_cluster(self, cluster: Cluster, head: HeadStart | None) -> Placement:
        from vggbatch.pipeline.preflight import check
        from vggbatch.pipeline.stall import await_node
        from vggbatch.pipeline.telemetry import Telemetry

        cluster = await_node(cluster, self.notify)
        helper = head if head and head.ended and not cluster.own and cluster.here >= 1 else None
        limit = 0.0

        def work_for(placement: Placement) -> Work:
            cores = _cores(placement, cluster)
            return self._first_work(placement, cores, gives_way=False)

        def meanwhile(placement: Placement) -> None:
            if helper is None:
                Thread(target=_load_ray_data, daemon=True).start()
            elif opens_at_once(self.job):
                helper.prepare(work_for(placement))

        placement = check(self.job, cluster, self.notify, meanwhile)
        if helper is not None:
            work = work_for(placement)
            limit = seconds_alone(self.job.config.compute, work, placement)
            helper.begin(work, self._chunk_work)
        with Telemetry(self.run_id, self.output.folder.uri, self.tally) as telemetry:
            telemetry.placed(placement.describe())

            def received() -> None:
                telemetry.sample()
                self.notify()

            if helper is None or not score_alone(
                helper, self.numbered, self.tally, limit, received, telemetry.committed
            ):
                self._with_ray_data(cluster, placement, telemetry, head)
        return placement

    def _with_ray_data(
        self,
        cluster: Cluster,
        placement: Placement,
        telemetry: Telemetry,
        head: HeadStart | None,
    ) -> None:
        _load_ray_data()
        import ray

        from vggbatch.pipeline.context import data_context
        from vggbatch.pipeline.passes import Passes
        from vggbatch.pipeline.ship import ship
        from vggbatch.pipeline.stall import Watch

        job = self.job
        source = None if cluster.own else ship(job.models, job.config.cache_dir)
        labels = ray.put(job.labels) if job.labels is not None else None
        task = self._scoring(placement, network_opener(job, source), labels)
        with (
            data_context(cluster, job.config.compute, chunk_work=self._chunk_work),
            Watch(self.run_id, placement, telemetry.sample, self.notify) as watch,
        ):

            def received() -> None:
                watch.moved()
                self.notify()

            passes = Passes(
                self.output,
                self.groups,
                self.planned.rows_per_file,
                self.tally,
                received,
                telemetry,
            )
            passes.run(self.numbered, task, placement, head)

    def _first_work(self, placement: Placement, cores: int, *, gives_way: bool) -> Work:
        scoring = self._scoring(placement, network_opener(self.job), self.job.labels)
        return first_work(self.numbered, self.tally, scoring, cores, gives_way=gives_way)

    @property
    def _chunk_work(self) -> float:
        """What a chunk costs, in single crops of one network."""
        return self.planned.chunk_size * self.job.work

    def _scoring(
        self,
        placement: Placement,
        open_networks: Callable[[], list[NetworkSpec]],
        labels: Any,
    ) -> Scoring:
        scoring = scoring_of(self.job, self.run_id, self.output, placement)
        return replace(
            scoring, chunk_size=self.planned.chunk_size, open_networks=open_networks, labels=labels
        )


def open_early(job: Job, run_id: str, output: Output, early: Early) -> None:
    """Let a head start open the networks before the output is opened.

    Only if that leaves nothing behind and it is known what fits; if not, that is told in its turn.
    """
    compute, head, joining = job.config.compute, early.head, early.joining
    if head is None or not opens_at_once(job):
        return
    with suppress(UsageError):
        if compute.cluster_address is None:
            placement = place_here(compute)
            cores = placement.actors * placement.threads
        elif joining and (cluster := joining.found) and cluster.here >= 1:
            placement = place(cluster.node_cpus, compute, cluster.growth)
            cores = _cores(placement, cluster)
        else:
            return
        scoring = replace(scoring_of(job, run_id, output, placement), labels=None)
        nothing = Progress().to_score([])
        head.prepare(Work(scoring, nothing, classifiers_on(cores, scoring), gives_way=False))


def scoring_of(job: Job, run_id: str, output: Output, placement: Placement) -> Scoring:
    """How a job is scored on this machine."""
    config = job.config
    return Scoring(
        output=output,
        chunk_size=job.chunk_size,
        recipes=job.recipes,
        protocol=job.protocol,
        decode=config.decode,
        classes=job.model.classes,
        open_networks=network_opener(job),
        threads=placement.threads,
        micro_batch=config.compute.micro_batch,
        pin=config.compute.pin,
        features=config.features,
        labels=job.labels,
        run_id=run_id,
        versions=result_versions(),
    )


def _load_ray_data() -> None:
    """A second of imports, which other threads had better not begin from another end."""
    know_pandas()
    import_module("vggbatch.pipeline.passes")


def _cores(placement: Placement, cluster: Cluster) -> int:
    """Of this node, that a head start may use."""
    return min(math.floor(cluster.here), placement.actors * placement.threads)
