"""The run: open the output, score what is left, put groups of rows together."""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from threading import Thread
from typing import Any

from vggbatch.classifier import NetworkSpec
from vggbatch.pipeline.alone import first_work, score_alone
from vggbatch.pipeline.chunk import NumberedShard
from vggbatch.pipeline.fitness import check_own_machine
from vggbatch.pipeline.headstart import HeadStart
from vggbatch.pipeline.job import Job, network_opener
from vggbatch.pipeline.lease import Held
from vggbatch.pipeline.pipeline import Scoring
from vggbatch.pipeline.placement import Placement, cluster_address
from vggbatch.pipeline.probe import result_versions
from vggbatch.pipeline.record import RunResult
from vggbatch.pipeline.resume import open_output
from vggbatch.pipeline.runlog import RunLogger, json_lines, told
from vggbatch.pipeline.sink import compact
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Listener, Tally
from vggbatch.pipeline.total import Total
from vggbatch.storage import Folder


def run(job: Job, listener: Listener | None = None, head: HeadStart | None = None) -> RunResult:
    """Score what the output lacks. `finish` must follow; until then the run is not a success.

    Args:
        job: the checked job.
        listener: called with a Snapshot while results come in.
        head: a process that waits for work, where the run may have Ray to itself.

    Raises:
        UsageError: the output belongs to another run or another driver is at work on it, or no
            actor fits the cluster.
        JobFailed: chunks failed for a reason that is not in the images.
    """
    started = time.perf_counter()
    run_id = uuid.uuid4().hex[:12]
    output = Output(Folder(job.config.output))
    with ExitStack() as stack:
        if job.config.compute.log_format == "json":
            stack.enter_context(json_lines())
        if cluster_address(job.config.compute) is not None:
            # takes the time in which the lease settles
            Thread(target=import_module, args=("vggbatch.pipeline.passes",), daemon=True).start()
        held = None
        if job.config.overwrite or not output.succeeded():
            held = stack.enter_context(Held(output.folder))
        numbered, chunk_size = open_output(output, job)
        progress = output.progress()
        tally = Tally(progress, Total(numbered, progress))
        groups: dict[int, list[int]] = defaultdict(list)
        for number, group, _ in numbered:
            groups[group].append(number)
        placement = None
        if held is not None:
            # complete, but killed before they could be put together
            _close(output, groups, tally, job.rows_per_file)
            if len(progress.groups) < len(groups):
                log = RunLogger(__name__, run_id)
                fields = {"images_safe": progress.rows, "images_expected": tally.total.images}
                stack.enter_context(told(log, **fields))
                placement = _score(
                    job, run_id, output, numbered, groups, chunk_size, tally, held, listener, head
                )
                _close(output, groups, tally, job.rows_per_file)
    markers = [progress.groups[group] for group in sorted(progress.groups)]
    return RunResult(
        run_id=run_id,
        output=output,
        rows=progress.rows,
        stats=sum((Stats.from_json(marker["stats"]) for marker in markers), Stats()),
        files=[file for marker in markers for file in marker["files"]],
        seconds=time.perf_counter() - started,
        stats_now=tally.stats,
        images_per_second=tally.rate(),
        placement=placement,
        complete_before=held is None,
        folders={
            recipe.name: output.profile(recipe.name) if number else output.folder
            for number, recipe in enumerate(job.recipes)
        },
    )


def _score(
    job: Job,
    run_id: str,
    output: Output,
    numbered: list[NumberedShard],
    groups: dict[int, list[int]],
    chunk_size: int,
    tally: Tally,
    held: Held,
    listener: Listener | None,
    head: HeadStart | None,
) -> Placement:
    def notify(note: str | None = None) -> None:
        snapshot = replace(tally.snapshot(), note=note)
        held.report(snapshot)
        if listener:
            listener(snapshot)

    def scoring(
        placement: Placement, open_networks: Callable[[], list[NetworkSpec]], labels: Any
    ) -> Scoring:
        return Scoring(
            output=output,
            chunk_size=chunk_size,
            recipes=job.recipes,
            protocol=job.protocol,
            decode=job.config.decode,
            classes=job.model.classes,
            open_networks=open_networks,
            threads=placement.threads,
            micro_batch=compute.micro_batch,
            pin=compute.pin,
            features=job.config.features,
            labels=labels,
            run_id=run_id,
            versions=result_versions(),
        )

    compute = job.config.compute
    chunk_work = chunk_size * job.work
    tally.start()
    open_networks = network_opener(job, None)
    if head is not None and cluster_address(compute) is None:
        placement = check_own_machine(job)
        local = scoring(placement, open_networks, job.labels)
        cores = placement.actors * placement.threads
        head.begin(first_work(numbered, tally, local, cores, gives_way=True), chunk_work)
        # its classifiers wait for the same file; here its faults come to light at once
        open_networks()
        if score_alone(head, numbered, tally, compute.ray_after, notify):
            return placement

    # only here: a second of imports that a short run does without
    import ray

    from vggbatch.pipeline.cluster import ray_cluster
    from vggbatch.pipeline.context import data_context
    from vggbatch.pipeline.passes import Passes
    from vggbatch.pipeline.preflight import check
    from vggbatch.pipeline.ship import ship
    from vggbatch.pipeline.stall import Watch, await_node
    from vggbatch.pipeline.telemetry import Telemetry

    with (
        ray_cluster(compute, chunk_bytes=chunk_size * job.picture_bytes) as cluster,
        data_context(cluster, compute, chunk_work=chunk_work),
    ):
        cluster = await_node(cluster, notify)
        placement = check(job, cluster, notify)
        if head is not None and head.ended and not cluster.own and cluster.here >= 1:
            local = scoring(placement, open_networks, job.labels)
            cores = min(math.floor(cluster.here), placement.actors * placement.threads)
            head.begin(first_work(numbered, tally, local, cores, gives_way=False), chunk_work)
        source = None if cluster.own else ship(job.models, job.config.cache_dir)
        labels = ray.put(job.labels) if job.labels is not None else None
        task = scoring(placement, network_opener(job, source), labels)
        with (
            Telemetry(run_id, output.folder.uri, tally) as telemetry,
            Watch(run_id, placement, telemetry.sample, notify) as watch,
        ):
            telemetry.placed(placement.describe())

            def received() -> None:
                watch.moved()
                notify()

            passes = Passes(output, groups, job.rows_per_file, tally, received, telemetry)
            passes.run(numbered, task, placement, head)
    return placement


def _close(output: Output, groups: dict[int, list[int]], tally: Tally, rows_per_file: int) -> None:
    """Put together the groups that are complete."""
    progress = tally.progress
    for group, shards in groups.items():
        if group not in progress.groups and all(map(progress.shard_complete, shards)):
            seconds = tally.write_seconds.pop(group, 0.0)
            marker = compact(output, group, shards, rows_per_file, seconds)
            progress.close(group, shards, marker)
