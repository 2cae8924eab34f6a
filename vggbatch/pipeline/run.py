"""The run: open the output, score what is left, put groups of rows together."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from vggbatch.pipeline.early import Early
from vggbatch.pipeline.job import Job
from vggbatch.pipeline.lease import OutputLease
from vggbatch.pipeline.record import RunResult
from vggbatch.pipeline.rest import Notify, Rest, open_early
from vggbatch.pipeline.resume import open_output
from vggbatch.pipeline.runlog import RunLogger, told
from vggbatch.pipeline.sink import compact
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Listener, Tally
from vggbatch.pipeline.total import Total
from vggbatch.storage import Folder


@contextmanager
def run(
    job: Job, listener: Listener | None = None, early: Early | None = None
) -> Iterator[RunResult]:
    """Score what the output lacks, and keep its lease for the block, which has to `finish` it.

    Args:
        job: the checked job.
        listener: called with a Snapshot while results come in.
        early: what is in progress already.

    Yields:
        What is scored. The lease ends with the block; no lease is taken of an output that was
        complete before.

    Raises:
        UsageError: the output belongs to another run or another driver is at work on it, or no
            actor fits the cluster.
        JobFailed: chunks failed for a reason that is not in the images, or the output was taken
            over by another run.
    """
    started = time.perf_counter()
    early = early or Early(None, None)
    run_id = uuid.uuid4().hex[:12]
    output = Output(Folder(job.config.output))
    with ExitStack() as stack:
        lease = None
        if job.config.overwrite or not output.succeeded():
            open_early(job, run_id, output, early)  # continues while the output is opened
            lease = stack.enter_context(OutputLease(output.folder))
            output = Output(output.folder, fence=lease.fence)
        yield _scored(job, listener, early, output, lease, run_id, started)


def _scored(
    job: Job,
    listener: Listener | None,
    early: Early,
    output: Output,
    lease: OutputLease | None,
    run_id: str,
    started: float,
) -> RunResult:
    numbered, chunk_size = open_output(output, job)
    progress = output.progress()
    tally = Tally(progress, Total(numbered, progress))
    groups: dict[int, list[int]] = defaultdict(list)
    for number, group, _ in numbered:
        groups[group].append(number)
    placement = None
    if lease is not None:
        # complete, but killed before they could be put together
        _close(output, groups, tally, job.rows_per_file)
        if len(progress.groups) < len(groups):
            log = RunLogger(__name__, run_id)
            fields = {"images_safe": progress.rows, "images_expected": tally.total.images}
            with told(log, **fields):
                notify = _notifier(tally, lease, listener)
                rest = Rest(job, run_id, output, numbered, groups, chunk_size, tally, notify)
                placement = rest.score(early)
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
        complete_before=lease is None,
        folders={
            recipe.name: output.profile(recipe.name) if number else output.folder
            for number, recipe in enumerate(job.recipes)
        },
    )


def _notifier(tally: Tally, lease: OutputLease, listener: Listener | None) -> Notify:
    """Reports to the lease and the listener how far the run is."""

    def notify(note: str | None = None) -> None:
        snapshot = replace(tally.snapshot(), note=note)
        lease.report(snapshot)
        if listener:
            listener(snapshot)

    return notify


def _close(output: Output, groups: dict[int, list[int]], tally: Tally, rows_per_file: int) -> None:
    """Put together the groups that are complete."""
    progress = tally.progress
    for group, shards in groups.items():
        if group not in progress.groups and all(map(progress.shard_complete, shards)):
            seconds = tally.write_seconds.pop(group, 0.0)
            marker = compact(output, group, shards, rows_per_file, seconds)
            progress.close(group, shards, marker)
