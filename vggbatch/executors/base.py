"""The interface of the executors, and what one is given to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

import pyarrow as pa

from vggbatch.chunks.chunk import ChunkKey, NumberedShard
from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.placement import Placement
from vggbatch.job.job import Job
from vggbatch.job.networks import network_opener
from vggbatch.output.layout import Output
from vggbatch.output.progress import Progress
from vggbatch.pipeline.stages import StageContext
from vggbatch.versions import result_versions

Report = Callable[[str], None]
"""Called with a line that the user should see."""


class ExecutionFailed(Exception):
    """An executor cannot do what is left. Its text is the reason."""


@dataclass(frozen=True)
class Work:
    """What of a run is left to score."""

    job: Job
    run_id: str
    output: Output
    chunk_size: int
    """Images in a chunk, as the run was planned."""
    shards: Sequence[NumberedShard]
    """Those with chunks that are not committed."""
    progress: Progress
    """What is committed. The run adds to it what `run` of the executor yields; executors read."""

    @property
    def chunk_work(self) -> float:
        """What a chunk costs, in single crops of one network."""
        return self.chunk_size * self.job.work

    def remaining(self) -> list[NumberedShard]:
        """The shards that have chunks to be scored at this moment."""
        return self.progress.left(self.shards)

    def rows(self, shards: Sequence[NumberedShard], also: Collection[ChunkKey] = ()) -> pa.Table:
        """Shards as the stage `index` takes them; it leaves out what is committed, and `also`."""
        return self.progress.to_score(shards, also)

    def context(self, placement: Placement) -> StageContext:
        """What the stages need to know."""
        context = stage_context(self.job, self.run_id, self.output, placement)
        return replace(context, chunk_size=self.chunk_size)


class Executor(Protocol):
    """Scores chunks. Entering one begins what takes long and needs no more than its options."""

    name: str
    """`local` or `ray`, as in `compute.executor`."""
    placement: Placement | None
    """How many classifiers there are and where, once `check` has found out."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def prepare(self, job: Job, run_id: str, output: Output) -> None:
        """Begin what a checked job allows and what leaves nothing behind.

        Nothing of the input is read, and nothing is written.
        """

    def check(self, job: Job, report: Report) -> Placement:
        """Find out where a job is to run, and check the machines.

        Args:
            job: the checked job.
            report: called, also later and from other threads, with what is odd.

        Raises:
            UsageError: no classifier fits, or a machine is not fit for the run.
            VggbatchError: a cluster does not answer.
        """

    def run(self, work: Work) -> Generator[ChunkResult | None, None, None]:
        """Score what is left, after `check`.

        Yields:
            Chunks that are committed or failed, in any order, each once; None where nothing has
            come for about a second.

        Raises:
            ExecutionFailed: nothing more can be done, with the reason.
        """

    def waiting_for(self) -> str | None:
        """What the run waits for, where that is known: the end of a sentence."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function beside the run, where it does not keep the driver from its work."""


def stage_context(job: Job, run_id: str, output: Output, placement: Placement) -> StageContext:
    """What the stages of a job need to know.

    Args:
        job: the checked job.
        run_id: the name of the run in log lines.
        output: the output, with the right to write where chunks are to be written.
        placement: how many threads a classifier has.
    """
    config = job.config
    return StageContext(
        output=output,
        chunk_size=job.chunk_size,
        recipes=job.recipes,
        protocol=job.protocol,
        decode=config.decode,
        classes=job.model.classes,
        open_networks=network_opener(job),
        threads=placement.threads,
        micro_batch=config.compute.micro_batch,
        pin=config.compute.pin and config.compute.provider == "cpu",
        features=config.features,
        labels=job.labels,
        run_id=run_id,
        versions=result_versions(),
    )
