"""Passes over what is left to score, until each chunk is committed or has failed.

One pass is enough unless something dies too often. Ray repeats a task whose process or node died a
few times and then drops its chunk; the chunk is left over and comes again in the next pass, where
images are read and decoded in a process of their own (see isolated.py of `preprocess`), so that one
that kills its process is found and becomes an error row. Passes that commit nothing are the last:
every run ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import ray.data
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.placement import Placement
from vggbatch.executors.base import ExecutionFailed, Work
from vggbatch.executors.ray_data.dataset import build
from vggbatch.executors.ray_data.fused import few_listed
from vggbatch.executors.ray_data.results import PassResults
from vggbatch.executors.ray_data.watchdog import Watchdog
from vggbatch.pipeline.run_logging import RunLogger
from vggbatch.pipeline.stages import StageContext, index

_BLOCKS_OF_SHARDS = 1000
"""Indexing tasks at most, however many shards there are."""


@dataclass
class _Pass:
    """What came of a pass."""

    committed: int = 0
    failed_shards: frozenset[int] = frozenset()
    """Shards with chunks that came back failed: they are not tried again here."""
    error: Exception | None = None
    """What ended it early."""
    timed_out: bool = False

    def reason(self) -> str:
        """Why it got nowhere."""
        if self.error is not None:
            return _text(self.error)
        return "the rest of the chunks was lost again and again with the processes that had them"


class Passes:
    """Scores what is left.

    Args:
        work: what that is.
        context: what the stages need to know.
        placement: where they run.
        watchdog: looks at the cluster meanwhile.
    """

    def __init__(
        self, work: Work, context: StageContext, placement: Placement, watchdog: Watchdog
    ) -> None:
        self._work = work
        self._context = context
        self._placement = placement
        self._watchdog = watchdog
        self._log = RunLogger(__name__, work.run_id)

    def __iter__(self) -> Generator[ChunkResult | None, None, None]:
        """The results.

        Raises:
            ExecutionFailed: what is left cannot be scored, with the reason.
        """
        broken_before = isolate = False
        failed: frozenset[int] = frozenset()
        while left := [one for one in self._work.remaining() if one[0] not in failed]:
            this = _Pass()
            yield from self._pass(left, replace(self._context, isolate=isolate), this)
            failed |= this.failed_shards
            gave_up = isolate or (this.error is not None and not this.timed_out)
            if not this.committed and not this.failed_shards and gave_up:
                raise ExecutionFailed(this.reason())
            broken = this.error is not None
            lost = {number for number, _, _ in self._work.remaining()} - failed
            isolate = this.timed_out or broken_before or bool(lost and not broken)
            broken_before = broken

    def _pass(
        self, left: list[NumberedShard], context: StageContext, this: _Pass
    ) -> Iterator[ChunkResult | None]:
        """One pass; what came of it is noted in `this`."""
        fields = {"shards_left": len(left), "isolate": context.isolate}
        self._log.info("pass started", extra=fields)
        indexed = few_listed(left, self._work.chunk_size)
        blocks = index(self._work.rows(left), context) if indexed else self._blocks(left)
        # not from_arrow, whose tasks take a whole CPU: classifiers may hold all there are
        source = ray.data.from_blocks(list(blocks))
        # an image that kills its process would take the networks with it
        fused = self._placement.fused and not context.isolate
        plan = build(source, context, self._placement, indexed=indexed, fused=fused)
        try:
            with PassResults(plan) as results:
                for result in results:
                    if result is not None:
                        self._watchdog.progressed()
                        if result.failure is None:
                            this.committed += 1
                        else:
                            this.failed_shards |= {result.key.shard}
                    yield result
        except ExecutionTimeoutError as error:
            this.error, this.timed_out = error, True
        except RayError as error:
            this.error = error

    def _blocks(self, left: list[NumberedShard]) -> Iterator[pa.Table]:
        size = -(-len(left) // _BLOCKS_OF_SHARDS)
        for first in range(0, len(left), size):
            yield self._work.rows(left[first : first + size])


def _text(error: BaseException) -> str:
    """An error in one line, without the traceback that Ray puts in front."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        error = error.cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:500]
