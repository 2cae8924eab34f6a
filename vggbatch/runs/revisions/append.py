"""A complete output gets what its input has gained: `--append`.

What is new is scored into an output inside the output, by the loop of any run and resumed like it,
and then the output becomes its next generation (revision.py, switch.py of the output). Until
that moment nothing is touched that a reader of the output goes by.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vggbatch import uris
from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.executors.base import Executor
from vggbatch.job.job import Job, input_digest
from vggbatch.output.layout import Output
from vggbatch.output.names import NEXT
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.runs.progress.tracker import ProgressCallback
from vggbatch.runs.result import Revision, RunResult
from vggbatch.runs.revisions.arrangement import Arrangement, arrange
from vggbatch.runs.revisions.revision import Change, prepare
from vggbatch.sources import Shard
from vggbatch.storage.filesystem import Folder, public_uri

_log = logging.getLogger(__name__)
_SHOWN = 3

Score = Callable[..., RunResult]
"""The loop of a run: job, executor, progress callback, output, lease, run id, start."""


def arranged(job: Job, output: Output) -> tuple[Job, Arrangement | None]:
    """The job with its input in the arrangement in which the output has recorded it.

    Returns:
        The job, and what the input has gained and lost. An output that is the same listing, cut as
        it is now, is compared as such elsewhere: nothing is changed, and None.

    Raises:
        UsageError: images have other names now.
    """
    plan = output.read_plan()
    if plan is None or "input_digest" not in plan:
        return job, None
    revising = job.config.append or job.config.retry is not None
    if job.config.retry is None and plan["input_digest"] == input_digest(job.shards):
        return job, None
    if not revising and "generation" not in plan and "merged" not in plan:
        return job, None
    found = arrange(output.read_shards(), job.shards)
    if revising or found.same:
        return replace(job, shards=tuple(shard for _, _, shard in found.kept)), found
    return job, None


@contextmanager
def append(
    job: Job,
    shards: Sequence[Shard],
    change: Change,
    executor: Executor,
    on_progress: ProgressCallback | None,
    score: Score,
) -> Iterator[RunResult]:
    """Score what comes, and prepare the next generation, which the block has to `finish`.

    Args:
        job: with the input as the output has recorded it.
        shards: what comes.
        change: what else becomes of the output.
        executor: scores; it has been entered.
        on_progress: as of a run.
        score: the loop of a run.

    Yields:
        The whole output as it will be; its lease ends with the block.
    """
    started, run_id = time.perf_counter(), uuid.uuid4().hex[:12]
    there = Output(Folder(job.config.output))
    if shards:
        executor.prepare(replace(job, shards=tuple(shards)), run_id, there)
    with OutputLease(there.folder) as lease:
        output = Output(there.folder, fence=lease.fence)
        if output.plan_id != there.plan_id or not output.succeeded():
            raise UsageError(f"{output.folder.uri} was changed by another command: repeat this one")
        try:
            came, scored, more = None, None, False
            if shards:
                came = Output(Folder(f"{output.folder.uri}/{NEXT}"), fence=lease.fence.below(NEXT))
                chosen, more = _begun(output, came, shards, job.labels_digest)
                part = replace(job, shards=tuple(chosen))
                scored = score(part, executor, on_progress, came, lease, run_id, started)
                if more:
                    names = sum(len(s.members) if s.members is not None else 1 for s in chosen)
                    change = replace(change, counts={**change.counts, "added": names})
            yield _prepared(job, output, lease, change, came, scored, more, run_id, started)
        except VggbatchError:
            lease.fence.check()  # of an output that is another run's, that is what to say
            raise


def _prepared(
    job: Job,
    output: Output,
    lease: OutputLease,
    change: Change,
    came: Output | None,
    scored: RunResult | None,
    more: bool,
    run_id: str,
    started: float,
) -> RunResult:
    record = output.read_run()
    named = [public_uri(uris.resolved(uri)) for uri in job.config.input]
    new, plan, markers = prepare(output, change, record, came, named, job.labels_digest)
    files: dict[str, list[dict[str, Any]]] = {
        recipe.name: [
            file
            for marker in markers
            for file in (marker["profiles"].get(recipe.name, ()) if number else marker["files"])
        ]
        for number, recipe in enumerate(job.recipes)
    }
    return RunResult(
        run_id=run_id,
        output=new,
        rows=sum(marker["rows"] for marker in markers),
        stats=Stats.total(Stats.from_json(marker["stats"]) for marker in markers),
        seconds=time.perf_counter() - started,
        stats_now=scored.stats_now if scored is not None else Stats(),
        images_per_second=scored.images_per_second if scored is not None else 0.0,
        executor=scored.executor if scored is not None else None,
        placement=scored.placement if scored is not None else None,
        lease=lease,
        folders={
            recipe.name: output.profile(recipe.name) if number else output.folder
            for number, recipe in enumerate(job.recipes)
        },
        files=files,
        revision=Revision(plan, record),
        more=more,
    )


def _begun(
    output: Output, came: Output, shards: Sequence[Shard], row_labels: str | None
) -> tuple[list[Shard], bool]:
    """What to score into the output inside: what an interrupted append was about, if it is there.

    One that was begun with other labels is begun again.

    Returns:
        The shards, and whether there are others beside them, which are then a further append.
    """
    plan = came.read_plan()
    if plan is not None and plan["row_labels"] != row_labels:
        output.fence.delete_tree(NEXT)
        return list(shards), False
    if plan is None or plan["input_digest"] == input_digest(shards):
        return list(shards), False
    try:
        begun = arrange(came.read_shards(), shards)
    except UsageError:
        begun = Arrangement(removed_names=["another"])
    if begun.changed_names or begun.removed_names:
        output.fence.delete_tree(NEXT)
        return list(shards), False
    return [shard for _, _, shard in begun.kept], True
