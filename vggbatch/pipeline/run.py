"""The run: open the output, score what is left, put groups of rows together."""

from __future__ import annotations

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from vggbatch.errors import VggbatchError
from vggbatch.pipeline.confined import check_confined
from vggbatch.pipeline.early import Early
from vggbatch.pipeline.job import Job
from vggbatch.pipeline.lease import OutputLease, remove_remains
from vggbatch.pipeline.progress import Progress
from vggbatch.pipeline.record import RunResult, run_of
from vggbatch.pipeline.rest import Notify, Rest, open_early
from vggbatch.pipeline.resume import check_continuable, check_output, open_output
from vggbatch.pipeline.runlog import RunLogger, told
from vggbatch.pipeline.sink import compact
from vggbatch.pipeline.state import PROFILES, RUN, SUCCESS, Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Listener, Tally
from vggbatch.pipeline.total import Total
from vggbatch.pipeline.verify import problems
from vggbatch.storage import Folder

_log = logging.getLogger(__name__)

_SHOWN = 3
"""Lines about what is damaged, at most."""


@contextmanager
def run(
    job: Job,
    listener: Listener | None = None,
    early: Early | None = None,
    *,
    metrics: bool = False,
) -> Iterator[RunResult]:
    """Score what the output lacks, and keep its lease for the block, which has to `finish` it.

    Args:
        job: the checked job.
        listener: called with a Snapshot while results come in.
        early: what is in progress already.
        metrics: the output is complete only with its metrics.

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
        if job.config.overwrite or not _is_complete(output, job, metrics=metrics):
            if not job.config.overwrite:
                check_continuable(output)
            open_early(job, run_id, output, early)  # continues while the output is opened
            lease = stack.enter_context(OutputLease(output.folder))
            output = Output(output.folder, fence=lease.fence)
        else:
            remove_remains(output.folder)
        try:
            result = _scored(job, listener, early, output, lease, run_id, started)
        except VggbatchError:
            if lease is not None:
                lease.fence.check()  # of an output that is another run's, that is what to say
            raise
        yield result


def _scored(
    job: Job,
    listener: Listener | None,
    early: Early,
    output: Output,
    lease: OutputLease | None,
    run_id: str,
    started: float,
) -> RunResult:
    numbered, planned = open_output(output, job)
    progress = output.progress()
    if lease is not None:
        _reopen(output, progress)
    tally = Tally(progress, Total(numbered, progress))
    groups: dict[int, list[int]] = defaultdict(list)
    for number, group, _ in numbered:
        groups[group].append(number)
    placement = None
    if lease is not None:
        # complete, but killed before they could be put together
        _close(output, groups, tally, planned.rows_per_file)
        if len(progress.groups) < len(groups):
            log = RunLogger(__name__, run_id)
            fields = {"images_safe": progress.rows, "images_expected": tally.total.images}
            with told(log, **fields):
                notify = _notifier(tally, lease, listener)
                rest = Rest(job, run_id, output, numbered, groups, planned, tally, notify)
                placement = rest.score(early)
                _close(output, groups, tally, planned.rows_per_file)
    markers = [progress.groups[group] for group in sorted(progress.groups)]
    return RunResult(
        run_id=run_id,
        output=output,
        rows=progress.rows,
        stats=sum((Stats.from_json(marker["stats"]) for marker in markers), Stats()),
        seconds=time.perf_counter() - started,
        stats_now=tally.stats,
        images_per_second=tally.rate(),
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


def _is_complete(output: Output, job: Job, *, metrics: bool) -> bool:
    """Whether nothing is left to do, after a look at all that the output names."""
    check_confined(output.folder)
    if not output.succeeded() or output.read_plan() is None:
        return False
    check_output(output, job)  # another job's output is not made whole
    wrong = problems(output.folder)
    for line in wrong[:_SHOWN]:
        _log.warning("%s: %s: it is made again", output.folder.uri, line)
    if len(wrong) > _SHOWN:
        _log.warning("%s: so are %d more", output.folder.uri, len(wrong) - _SHOWN)
    return not wrong and (not metrics or output.read_run()["metrics"] is not None)


def _reopen(output: Output, progress: Progress) -> None:
    """Take back what an earlier run declared, and remove what killed ones have left."""
    for name in ("", *output.folder.folders(PROFILES)):
        place = output.fence_of(name)
        place.delete(SUCCESS)
        if run_of(output, name) is None:
            place.delete(RUN)
    output.drop_other_plans(output.plan_id)
    output.drop_partial_files()
    for line in progress.lost[:_SHOWN]:
        _log.warning("%s: %s: its images are scored again", output.folder.uri, line)


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
