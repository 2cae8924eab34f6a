"""The run, under the lease on its output: open it, score what is left (loop.py), add it up."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.executors.base import Executor
from vggbatch.job.job import Job
from vggbatch.output.image_total import Total
from vggbatch.output.layout import Output
from vggbatch.output.leftovers import remove_leftovers
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.progress import Progress
from vggbatch.pipeline.run_logging import RunLogger, run_logged
from vggbatch.runs.loop import Loop
from vggbatch.runs.opening import reopen, whole_progress
from vggbatch.runs.progress.tracker import ProgressCallback, RunTracker
from vggbatch.runs.result import RunResult
from vggbatch.runs.resume import check_continuable, open_output
from vggbatch.runs.revisions.append import append, arranged
from vggbatch.runs.revisions.gained import wanted
from vggbatch.runs.revisions.retry import wanted_again
from vggbatch.runs.revisions.settling import forget_begun, settle
from vggbatch.storage.filesystem import Folder


@contextmanager
def run(
    job: Job,
    executor: Executor,
    on_progress: ProgressCallback | None = None,
    *,
    metrics: bool = False,
) -> Iterator[RunResult]:
    """Score what the output lacks, and keep its lease for the block, which has to `finish` it.

    Args:
        job: the checked job.
        executor: scores; it has been entered.
        on_progress: called with a Snapshot while results come in.
        metrics: the output is complete only with its metrics.

    Yields:
        What is scored. The lease ends with the block; no lease is taken of an output that was
        complete before.

    Raises:
        UsageError: the output belongs to another run or another driver is at work on it, or no
            classifier fits.
        JobFailed: chunks failed for a reason that is not in the images, or the output was taken
            over by another run.
    """
    started = time.perf_counter()
    run_id = uuid.uuid4().hex[:12]
    output = Output(Folder(job.config.output))
    found, listed = None, job.shards
    if not job.config.overwrite:
        check_confined(output.folder)
        settle(output)
        if job.config.retry is not None and output.read_plan() is None:
            raise UsageError(f"{output.folder.uri} is no output yet: there is nothing to retry")
        job, found = arranged(job, output)
    with ExitStack() as stack:
        lease = None
        revising = job.config.append or job.config.retry is not None
        revise = found is not None and revising and (bool(job.config.retry) or not found.same)
        there = None
        if not job.config.overwrite:
            there = whole_progress(output, job, metrics=metrics)
        if found is not None and revise and there is not None:
            if job.config.retry is not None:
                shards, change = wanted_again(job, listed, output, found)
            else:
                shards, change = wanted(job, output, found)
            if shards or change.going:
                appended = append(job, shards, change, executor, on_progress, _scored)
                yield stack.enter_context(appended)
                return
        if there is None:
            if not job.config.overwrite:
                check_continuable(output)
            executor.prepare(job, run_id, output)  # continues while the output is opened
            lease = stack.enter_context(OutputLease(output.folder))
            output = Output(output.folder, fence=lease.fence)
        else:
            remove_leftovers(output)
            if revising:
                forget_begun(output)
        try:
            result = _scored(job, executor, on_progress, output, lease, run_id, started, there)
        except VggbatchError:
            if lease is not None:
                lease.fence.check()  # of an output that is another run's, that is what to say
            raise
        # the input has more than what was begun: that is another append
        yield replace(result, more=lease is not None and revise)


def _scored(
    job: Job,
    executor: Executor,
    on_progress: ProgressCallback | None,
    output: Output,
    lease: OutputLease | None,
    run_id: str,
    started: float,
    progress: Progress | None = None,
) -> RunResult:
    numbered, planned = open_output(output, job)
    progress = progress or output.progress()
    tracker = RunTracker(progress, Total(numbered, progress))
    placement = None
    if lease is not None:
        reopen(output, progress)
        groups: dict[int, list[int]] = defaultdict(list)
        for number, group, _ in numbered:
            groups[group].append(number)
        if len(progress.groups) < len(groups):
            log = RunLogger(__name__, run_id)
            fields = {"images_safe": progress.rows, "images_expected": tracker.total.images}
            with run_logged(log, executor=executor.name, **fields):
                loop = Loop(
                    job,
                    executor,
                    run_id,
                    output,
                    numbered,
                    groups,
                    planned,
                    tracker,
                    lease,
                    on_progress,
                )
                placement = loop.score()
    markers = [progress.groups[group] for group in sorted(progress.groups)]
    return RunResult(
        run_id=run_id,
        output=output,
        rows=progress.rows,
        stats=Stats.total(Stats.from_json(marker["stats"]) for marker in markers),
        seconds=time.perf_counter() - started,
        stats_now=tracker.stats,
        images_per_second=tracker.rate(),
        executor=executor.name if placement is not None else None,
        placement=placement,
        lease=lease,
        folders={
            recipe.name: output.profile(recipe.name) if number else output.folder
            for number, recipe in enumerate(job.recipes)
        },
        files={
            recipe.name: [
                file
                for marker in markers
                for file in (marker["profiles"].get(recipe.name, ()) if number else marker["files"])
            ]
            for number, recipe in enumerate(job.recipes)
        },
    )
