"""The run: open the output, score what is left, put groups of rows together, declare success."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from vggbatch.errors import JobFailed
from vggbatch.pipeline.chunk import ChunkKey, shard_table
from vggbatch.pipeline.cluster import data_context, ray_cluster
from vggbatch.pipeline.job import Job, estimated_images, model_opener, versions
from vggbatch.pipeline.pipeline import Scoring, build
from vggbatch.pipeline.placement import Placement, place
from vggbatch.pipeline.resume import open_output
from vggbatch.pipeline.sink import compact
from vggbatch.pipeline.state import RUN, SUCCESS, Output, Progress
from vggbatch.pipeline.stats import Stats
from vggbatch.sources import Shard
from vggbatch.storage import Folder

_FAILURES_IN_A_ROW = 16
"""So many failed chunks without one that succeeds: something is wrong that is not the images."""
_BLOCKS_OF_SHARDS = 1000
"""Indexing tasks at most, however many shards there are."""


@dataclass(frozen=True)
class Snapshot:
    """How far a run is."""

    rows: int
    """Images that are safe, earlier runs' included."""
    total: int
    """Images in all; an estimate until every shard is indexed."""
    errors: int
    images_per_second: float
    """Of this run, since its first result."""
    first_result: bool
    """Whether this run has committed anything yet."""


Listener = Callable[[Snapshot], None]


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    output: str
    rows: int
    """Rows in the output."""
    stats: Stats
    files: list[dict[str, Any]]
    seconds: float
    """Of this run, start of Ray included."""
    scored_now: int
    """Images that this run scored; 0 where an earlier one had done all."""
    images_per_second: float
    placement: Placement | None
    """None where nothing was left to score."""
    complete_before: bool
    """The output was complete before this run, and nothing was done."""


@dataclass
class _Tally:
    """What the driver counts while receipts come in."""

    progress: Progress
    total: int
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None
    rows: int = 0
    errors: int = 0
    failures: list[str] = field(default_factory=list)
    in_a_row: int = 0

    def rate(self) -> float:
        if self.first is None:
            return 0.0
        return self.rows / max(1e-9, time.perf_counter() - self.first)

    def snapshot(self) -> Snapshot:
        safe = self.progress.rows
        return Snapshot(safe, max(self.total, safe), self.errors, self.rate(), self.rows > 0)


def run(job: Job, listener: Listener | None = None) -> RunResult:
    """Score what the output lacks. `finish` must follow; until then the run is not a success.

    Raises:
        UsageError: the output belongs to another run, or no actor fits the cluster.
        JobFailed: chunks failed for a reason that is not in the images.
    """
    started = time.perf_counter()
    output = Output(Folder(job.config.output))
    numbered, chunk_size = open_output(output, job)
    members: dict[int, list[int]] = defaultdict(list)
    for number, group, _ in numbered:
        members[group].append(number)
    if output.succeeded():
        markers = output.progress().groups
        return _result(job, markers, started, tally=None, placement=None)
    progress = output.progress()
    tally = _Tally(progress, sum(estimated_images(shard) for _, _, shard in numbered))
    rows_per_file = job.config.rows_per_file
    for group in _ready(members, progress):
        progress.groups[group] = compact(output, group, members[group], rows_per_file)
    placement = None
    if len(progress.groups) < len(members):
        chunk_bytes = chunk_size * job.crop_bytes
        with ray_cluster(job.config.compute, chunk_bytes=chunk_bytes) as cpus, data_context():
            placement = place(cpus, job.config.compute)
            scoring = _scoring(job, chunk_size, placement)
            scorer = _Scorer(output, members, rows_per_file, tally, listener or (lambda _: None))
            while left := _left(numbered, progress):
                before = tally.rows
                scorer.score(left, scoring, placement)
                if tally.rows == before:
                    raise JobFailed(_failure(tally))
            scorer.finish()
    return _result(job, progress.groups, started, tally, placement)


def finish(job: Job, result: RunResult) -> dict[str, Any]:
    """Write run.json and, last of all, _SUCCESS.

    Returns:
        The content of run.json.

    Raises:
        JobFailed: more images than `max_error_rate` allows ended in an error.
    """
    output = Output(Folder(result.output))
    if result.complete_before:
        return output.read_run()
    record = _record(job, result)
    output.folder.write_json(RUN, record)
    rate = result.stats.error_rows / max(1, result.rows)
    if rate > job.config.max_error_rate:
        kinds = ", ".join(f"{count} {kind}" for kind, count in result.stats.errors.items())
        raise JobFailed(
            f"{result.stats.error_rows} of {result.rows} images ({rate:.2%}) could not be scored, "
            f"over the limit of {job.config.max_error_rate:.2%} (max_error_rate): {kinds}; "
            f"the rows are in {result.output}, their reasons in the column `error`"
        )
    output.folder.write_bytes(SUCCESS, b"")
    return record


class _Scorer:
    """Passes over what is left: receipts in, complete groups out."""

    def __init__(
        self,
        output: Output,
        members: dict[int, list[int]],
        rows_per_file: int,
        tally: _Tally,
        listener: Listener,
    ) -> None:
        self.output = output
        self.members = members
        self.rows_per_file = rows_per_file
        self.tally = tally
        self.listener = listener
        self.compactions: dict[Any, int] = {}
        # no CPU of its own: it must be able to run while actors and tasks hold all there are
        self.compact = ray.remote(num_cpus=0, max_retries=3)(compact)
        self.group_of = {shard: group for group, shards in members.items() for shard in shards}

    def score(
        self, left: list[tuple[int, int, Shard]], scoring: Scoring, placement: Placement
    ) -> None:
        """One pass over shards that are not complete."""
        self.tally.failures.clear()
        self.tally.in_a_row = 0
        source = ray.data.from_arrow(list(self._blocks(left)))
        receipts = build(source, scoring, placement).iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        )
        try:
            for table in receipts:
                for receipt in table.to_pylist():
                    self._take(receipt)
                self._collect(wait=False)
                self.listener(self.tally.snapshot())
        except RayError as error:
            raise JobFailed(f"Ray: {' '.join(str(error).split())[:500]}") from error

    def finish(self) -> None:
        """Wait for the last groups."""
        self._collect(wait=True)

    def _blocks(self, left: list[tuple[int, int, Shard]]) -> Iterator[pa.Table]:
        size = -(-len(left) // _BLOCKS_OF_SHARDS)
        for first in range(0, len(left), size):
            part = left[first : first + size]
            done = [sorted(self.tally.progress.chunks.get(number, ())) for number, _, _ in part]
            yield shard_table(part).append_column("done", pa.array(done, pa.list_(pa.int32())))

    def _take(self, receipt: dict[str, Any]) -> None:
        tally = self.tally
        if receipt["failure"]:
            tally.failures.append(receipt["failure"])
            tally.in_a_row += 1
            if tally.in_a_row >= _FAILURES_IN_A_ROW:
                raise JobFailed(_failure(tally))
            return
        tally.in_a_row = 0
        key = ChunkKey(receipt["group"], receipt["shard"], receipt["chunk"], receipt["chunks"])
        if not tally.progress.commit(key):
            return
        stats = Stats.from_json(receipt["stats"])
        if tally.first is None:
            tally.first = time.perf_counter()
        else:
            tally.rows += stats.rows
        tally.progress.staged_rows += stats.rows
        tally.errors += stats.error_rows
        if all(tally.progress.shard_complete(s) for s in self.members[key.group]):
            reference = self.compact.remote(
                self.output, key.group, self.members[key.group], self.rows_per_file
            )
            self.compactions[reference] = key.group

    def _collect(self, *, wait: bool) -> None:
        while self.compactions:
            done, _ = ray.wait(list(self.compactions), timeout=None if wait else 0)
            if not done:
                return
            for reference in done:
                group = self.compactions.pop(reference)
                marker = ray.get(reference)
                self.tally.progress.groups[group] = marker
                self.tally.progress.staged_rows -= marker["rows"]


def _scoring(job: Job, chunk_size: int, placement: Placement) -> Scoring:
    return Scoring(
        output=job.config.output,
        chunk_size=chunk_size,
        preprocess=job.preprocess,
        decode=job.config.decode,
        classes=job.model.classes,
        open_model=model_opener(job),
        threads=placement.threads,
        micro_batch=job.config.compute.micro_batch,
        pin=job.config.compute.pin,
        features=job.config.features,
        labels=ray.put(job.labels) if job.labels is not None else None,
    )


def _ready(members: dict[int, list[int]], progress: Progress) -> list[int]:
    """Groups whose chunks an earlier run committed without getting to put them together."""
    return [
        group
        for group, shards in members.items()
        if group not in progress.groups and all(progress.shard_complete(s) for s in shards)
    ]


def _left(
    numbered: list[tuple[int, int, Shard]], progress: Progress
) -> list[tuple[int, int, Shard]]:
    return [
        (number, group, shard)
        for number, group, shard in numbered
        if group not in progress.groups and not progress.shard_complete(number)
    ]


def _failure(tally: _Tally) -> str:
    reason = tally.failures[0] if tally.failures else "no chunk came back"
    return (
        f"{len(tally.failures)} chunks failed, the first with: {' '.join(reason.split())}; "
        f"{tally.progress.rows} rows are safe, run the same command again to go on"
    )


def _result(
    job: Job,
    groups: dict[int, dict[str, Any]],
    started: float,
    tally: _Tally | None,
    placement: Placement | None,
) -> RunResult:
    ordered = [groups[group] for group in sorted(groups)]
    return RunResult(
        output=job.config.output,
        rows=sum(marker["rows"] for marker in ordered),
        stats=sum((Stats.from_json(marker["stats"]) for marker in ordered), Stats()),
        files=[file for marker in ordered for file in marker["files"]],
        seconds=time.perf_counter() - started,
        scored_now=tally.rows if tally else 0,
        images_per_second=tally.rate() if tally else 0.0,
        placement=placement,
        complete_before=tally is None,
    )


def _record(job: Job, result: RunResult) -> dict[str, Any]:
    """The content of run.json."""
    stats = result.stats
    return {
        "vggbatch": versions()["vggbatch"],
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": job.public_config(),
        "model": job.model_facts(),
        "preprocess": {"profile": job.profile, **job.preprocess.model_dump(mode="json")},
        "versions": versions(),
        "counts": {
            "images": result.rows,
            "scored": result.rows - stats.error_rows,
            "errors": stats.error_rows,
            "errors_by_kind": stats.errors,
        },
        "rates": {
            "images_per_second": round(result.images_per_second, 3),
            "images_this_run": result.scored_now,
            "wall_seconds": round(result.seconds, 3),
        },
        "timings": {
            name: round(value, 3)
            for name, value in asdict(stats).items()
            if name.endswith("_seconds")
        },
        "image_bytes": stats.image_bytes,
        "placement": result.placement.describe() if result.placement else None,
        "files": result.files,
    }
