"""Passes over what is left to score: receipts in, complete groups out, until nothing is left.

One pass is enough unless something dies too often. Ray repeats a task whose process or node died a
few times and then drops its chunk; the chunk is left over and comes again in the next pass, where
images are read and decoded in a process of their own (see isolated.py of `preprocess`), so that one
that kills its process is found and becomes an error row. A pass that commits nothing is the last:
every run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError

from vggbatch.errors import JobFailed
from vggbatch.pipeline.chunk import ChunkKey, NumberedShard
from vggbatch.pipeline.headstart import HeadStart
from vggbatch.pipeline.pipeline import Scoring
from vggbatch.pipeline.placement import Placement
from vggbatch.pipeline.plan import build
from vggbatch.pipeline.sink import compact
from vggbatch.pipeline.stages import between_passes
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Tally
from vggbatch.pipeline.telemetry import Telemetry

_FAILURES_IN_A_ROW = 16
"""So many failed chunks without one that succeeds: something is wrong that is not the images."""
_BLOCKS_OF_SHARDS = 1000
"""Indexing tasks at most, however many shards there are."""


@dataclass
class _Outcome:
    """What went wrong in a pass."""

    failures: list[str] = field(default_factory=list)
    """Reasons of chunks that came back without rows."""
    failed_shards: set[int] = field(default_factory=set)
    error: Exception | None = None
    """What ended the pass early."""
    timed_out: bool = False

    def reason(self) -> str:
        if self.failures:
            return f"{len(self.failures)} chunks failed, the first with: {self.failures[0]}"
        if self.error is not None:
            return _text(self.error)
        return "the rest of the chunks was lost again and again with the processes that had them"


class Passes:
    """Scores shards and puts their groups together.

    Args:
        output: the run's output.
        groups: group number -> numbers of its shards.
        rows_per_file: about how many rows a predictions file gets.
        tally: what is committed already, and counts on.
        notify: called after every chunk; may raise to end the run.
        telemetry: gets all that happens.
    """

    def __init__(
        self,
        output: Output,
        groups: dict[int, list[int]],
        rows_per_file: int,
        tally: Tally,
        notify: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        self.output = output
        self.groups = groups
        self.rows_per_file = rows_per_file
        self.tally = tally
        self.notify = notify
        self.telemetry = telemetry
        self.compactions: dict[Any, int] = {}
        # no CPU of its own: it must be able to run while actors and tasks hold all there are
        self.compact = ray.remote(num_cpus=0, max_retries=3)(compact)

    def run(
        self,
        shards: list[NumberedShard],
        scoring: Scoring,
        placement: Placement,
        head: HeadStart | None = None,
    ) -> None:
        """Score all chunks of the shards that are not committed.

        Args:
            shards: the run's input.
            scoring: how.
            placement: with what.
            head: a head start that is at work and is to end now.

        Raises:
            JobFailed: what is left cannot be scored, with the reason.
        """
        broken_before = isolate = False
        progress = self.tally.progress
        reserved = head.reserve(scoring.chunk_size) if head else []
        self._take_over(head)
        self.notify()  # it may have done all, and then nothing follows
        while left := progress.left(shards):
            between_passes("")
            before = self.tally.chunks
            task = replace(scoring, isolate=isolate)
            outcome = self._pass(left, task, placement, reserved, head)
            while head and not head.ended:
                between_passes("the head start to end its chunks")
                self._take_over(head, seconds=1.0)
                self.notify()
                head.end_if_silent()
            reserved = []
            if self.tally.chunks == before and (
                isolate or outcome.failures or (outcome.error and not outcome.timed_out)
            ):
                raise self._failed(outcome.reason())
            broken = outcome.error is not None
            lost = {number for number, _, _ in progress.left(left)} - outcome.failed_shards
            isolate = outcome.timed_out or broken_before or bool(lost and not broken)
            broken_before = broken
        between_passes("the output's store: predictions files are being put together")
        self._collect(wait=True)

    def _take_over(self, head: HeadStart | None, seconds: float = 0.0) -> None:
        """Commit what the head start has done since, waiting so long for the first chunk of it."""
        for receipt in head.receipts(seconds) if head else ():
            self._commit(receipt)

    def _pass(
        self,
        left: list[NumberedShard],
        scoring: Scoring,
        placement: Placement,
        reserved: Sequence[ChunkKey],
        head: HeadStart | None,
    ) -> _Outcome:
        outcome = _Outcome()
        in_a_row = 0
        self.telemetry.pass_started(len(left), isolate=scoring.isolate)
        # not from_arrow, whose tasks take a whole CPU: classifiers may hold all there are
        source = ray.data.from_blocks(list(self._blocks(left, reserved)))
        receipts = build(source, scoring, placement).iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        )
        try:
            for table in receipts:
                assert isinstance(table, pa.Table), "asked for as batch_format"
                for receipt in table.to_pylist():
                    if receipt["failure"]:
                        outcome.failures.append(" ".join(receipt["failure"].split()))
                        self.telemetry.failed(ChunkKey.of(receipt), outcome.failures[-1])
                        outcome.failed_shards.add(receipt["shard"])
                        in_a_row += 1
                        if in_a_row >= _FAILURES_IN_A_ROW:
                            raise self._failed(outcome.reason())
                        continue
                    in_a_row = 0
                    self._commit(receipt)
                self._take_over(head)
                self._collect(wait=False)
                self.notify()
        except ExecutionTimeoutError as error:
            outcome.error, outcome.timed_out = error, True
        except RayError as error:
            outcome.error = error
        return outcome

    def _blocks(
        self, left: list[NumberedShard], reserved: Sequence[ChunkKey]
    ) -> Iterator[pa.Table]:
        size = -(-len(left) // _BLOCKS_OF_SHARDS)
        for first in range(0, len(left), size):
            yield self.tally.progress.to_score(left[first : first + size], reserved)

    def _commit(self, receipt: dict[str, Any]) -> None:
        key, stats = ChunkKey.of(receipt), Stats.from_json(receipt["stats"])
        if not self.tally.commit(key, stats):
            return
        self.telemetry.committed(stats)
        shards = self.groups[key.group]
        if all(self.tally.progress.shard_complete(shard) for shard in shards):
            reference = self.compact.remote(
                self.output,
                key.group,
                shards,
                self.rows_per_file,
                self.tally.write_seconds.pop(key.group),
            )
            self.compactions[reference] = key.group

    def _collect(self, *, wait: bool) -> None:
        while self.compactions:
            done, _ = ray.wait(list(self.compactions), timeout=None if wait else 0)
            if not done:
                return
            for reference in done:
                group = self.compactions.pop(reference)
                try:
                    marker = ray.get(reference)
                except RayError as error:
                    reason = f"group {group} could not be put together: {_text(error)}"
                    raise self._failed(reason) from error
                self.tally.progress.close(group, self.groups[group], marker)
                self.telemetry.group_closed(group, marker["rows"])

    def _failed(self, reason: str) -> JobFailed:
        return JobFailed(
            f"{reason}; {self.tally.progress.rows} rows are safe, run the same command again to "
            "go on"
        )


def _text(error: BaseException) -> str:
    """An error in one line, without the traceback that Ray puts in front."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        error = error.cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:500]
