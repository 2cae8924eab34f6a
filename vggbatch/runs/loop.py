"""The loop of a run: take results from an executor, commit them, compact complete groups."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.placement import Placement
from vggbatch.errors import JobFailed
from vggbatch.executors.base import ExecutionFailed, Executor, Work
from vggbatch.job.job import Job
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.runs.compactions import Compactions
from vggbatch.runs.progress.events import RunEvents
from vggbatch.runs.progress.stillness import Stillness
from vggbatch.runs.progress.tracker import ProgressCallback, RunTracker
from vggbatch.runs.resume import Planned

_FAILURES_IN_A_ROW = 16
"""So many failed chunks without one that succeeds: something is wrong that is not the images."""


@dataclass
class Loop:
    """Commits what an executor gives and compacts it, until nothing is left."""

    job: Job
    executor: Executor
    run_id: str
    output: Output
    numbered: list[NumberedShard]
    """The whole input."""
    groups: dict[int, list[int]]
    """Group number -> numbers of its shards."""
    planned: Planned
    tracker: RunTracker
    """Knows what is committed, and counts on."""
    lease: OutputLease
    on_progress: ProgressCallback | None
    _failures: list[str] = field(default_factory=list)
    """Reasons of the chunks that failed in the attempt at work."""
    _in_a_row: int = 0
    """Failures since the last chunk that was committed."""

    def score(self) -> Placement | None:
        """Score and compact what is left.

        Returns:
            Where it was scored; None where nothing was left to score.

        Raises:
            UsageError: no classifier fits, or a machine is not fit for the run.
            VggbatchError: a cluster does not answer.
            JobFailed: what is left cannot be scored, with the reason.
        """
        self.tracker.start()
        progress, placement = self.tracker.progress, None
        with self._compactions() as compactions:
            for group in self.groups:
                compactions.start_if_complete(group)  # of a run that was killed before it did
            if not progress.left(self.numbered):
                self._compact_all(compactions, RunEvents(self.run_id))
                return None
            placement = self.executor.check(self.job, self._report)
            with _events_of(self.executor, self.run_id, self.output, self.tracker) as events:
                events.placed(placement.describe())
                while left := progress.left(self.numbered):
                    self._attempt(left, compactions, events)
                self._compact_all(compactions, events)
        return placement

    def _attempt(
        self,
        left: list[NumberedShard],
        compactions: Compactions,
        events: RunEvents,
    ) -> None:
        """Score all that is left, once. Raises JobFailed if nothing of it could be committed."""
        chunks_before, self._failures = self.tracker.chunks, []
        still = Stillness()
        work = Work(
            job=self.job,
            run_id=self.run_id,
            output=self.output,
            chunk_size=self.planned.chunk_size,
            shards=left,
            progress=self.tracker.progress,
        )
        try:
            with closing(self.executor.run(work)) as results:
                for result in results:
                    if result is not None:
                        still.end()
                        self._take(result, compactions, events)
                    self._close_compacted(compactions, events)
                    self._report(still.note(self.executor.waiting_for))
        except ExecutionFailed as error:
            raise self._failed(self._reason() or str(error)) from None
        if self.tracker.chunks == chunks_before:
            raise self._failed(self._reason() or "nothing of what is left could be scored")

    def _take(self, result: ChunkResult, compactions: Compactions, events: RunEvents) -> None:
        """Commit a chunk, or note why it failed."""
        key = result.key
        if result.stats is not None:
            self._in_a_row = 0
            if self.tracker.commit(key, result.stats):
                events.committed(result.stats)
                compactions.start_if_complete(key.group)
            return
        self._failures.append(" ".join((result.failure or "").split()))
        self._in_a_row += 1
        events.failed(key, self._failures[-1])
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            raise self._failed(self._reason())

    def _compactions(self) -> Compactions:
        rows_per_file = self.planned.rows_per_file
        return Compactions(
            self.output, self.groups, rows_per_file, self.tracker, self.executor.submit
        )

    def _compact_all(self, compactions: Compactions, events: RunEvents) -> None:
        still = Stillness()
        while compactions.running:
            self._close_compacted(compactions, events, seconds=1.0)
            self._report(still.note(_writing))

    def _close_compacted(
        self, compactions: Compactions, events: RunEvents, seconds: float = 0.0
    ) -> None:
        for group, marker in compactions.closed(seconds):
            events.group_closed(group, marker["rows"])

    def _report(self, note: str | None = None) -> None:
        """Let the lease and the caller know how far the run is."""
        snapshot = replace(self.tracker.snapshot(), note=note, executor=self.executor.name)
        self.lease.report(snapshot)
        if self.on_progress:
            self.on_progress(snapshot)

    def _reason(self) -> str:
        """Why chunks failed; empty if none did."""
        if not self._failures:
            return ""
        count = len(self._failures)
        if count == 1:
            return f"a chunk failed with: {self._failures[0]}"
        return f"{count} chunks failed, the first with: {self._failures[0]}"

    def _failed(self, reason: str) -> JobFailed:
        return JobFailed(
            f"{reason}; {self.tracker.progress.rows} rows are safe, run the same command again to "
            "continue"
        )


def _writing() -> str:
    return "the output's store: predictions files are being written"


def _events_of(executor: Executor, run_id: str, output: Output, tracker: RunTracker) -> RunEvents:
    """What the run says of itself: log lines, and metrics where Ray exports them."""
    if executor.name != "ray":
        return RunEvents(run_id)
    from vggbatch.runs.progress.telemetry import Telemetry  # here, for it imports Ray

    return Telemetry(run_id, output.folder.uri, tracker)
