"""The run: open the output, score what is left, put groups of rows together."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace

from vggbatch.pipeline.early import Early
from vggbatch.pipeline.job import Job
from vggbatch.pipeline.lease import Held
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


def run(job: Job, listener: Listener | None = None, early: Early | None = None) -> RunResult:
    """Score what the output lacks. `finish` must follow; until then the run is not a success.

    Args:
        job: the checked job.
        listener: called with a Snapshot while results come in.
        early: what is under way already.

    Raises:
        UsageError: the output belongs to another run or another driver is at work on it, or no
            actor fits the cluster.
        JobFailed: chunks failed for a reason that is not in the images.
    """
    started = time.perf_counter()
    early = early or Early(None, None)
    run_id = uuid.uuid4().hex[:12]
    output = Output(Folder(job.config.output))
    with ExitStack() as stack:
        held = None
        if job.config.overwrite or not output.succeeded():
            open_early(job, run_id, output, early)  # goes on while the lease settles
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
                notify = _notifier(tally, held, listener)
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
        complete_before=held is None,
        folders={
            recipe.name: output.profile(recipe.name) if number else output.folder
            for number, recipe in enumerate(job.recipes)
        },
    )


def _notifier(tally: Tally, held: Held, listener: Listener | None) -> Notify:
    """Tells the lease and whoever listens how far the run is."""

    def notify(note: str | None = None) -> None:
        snapshot = replace(tally.snapshot(), note=note)
        held.report(snapshot)
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
