"""An executor in this process: the stages one after the other, for tests of what is around them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import pytest

from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.placement import place_here
from vggbatch.pipeline.stages import Classify, capture_failure, decode, index, write


class Here:
    """Scores where it is called: a run takes tenths of a second.

    Args:
        stop: the number of chunks after which the run is killed, as far as that is possible here.
    """

    name = "local"
    placement = None

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.images: list[str] = []
        """Ids of what was scored."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def prepare(self, job, run_id, output):
        pass

    def check(self, job, report):
        self.placement = place_here(job.config.compute)
        return self.placement

    def run(self, work):
        # a classifier has a process to itself elsewhere, and may keep that to some cores
        context = replace(work.context(self.placement), pin=False)
        classify = Classify(context)
        for number, chunk in enumerate(index(work.rows(work.shards), context)):
            if number == self.stop:
                raise KeyboardInterrupt
            decoded = capture_failure(chunk, decode, context)
            if "rows" in decoded.column_names:
                self.images += [row["image_id"] for row in decoded["rows"][0].as_py()]
            written = capture_failure(classify(decoded), write, context)
            yield next(ChunkResult.of_table(written))

    def waiting_for(self):
        return None

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def runs_here() -> Iterator[None]:
    """Let all runs of the block be scored in this process, Ray or not."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("vggbatch.api.jobs", "vggbatch.executors.choose"):
            patch.setattr(f"{module}.executor_for", lambda options: Here())
        yield


@pytest.fixture(scope="module")
def scored_here() -> Iterator[None]:
    """As `runs_here`, for the tests of a file that are not about who scores."""
    with runs_here():
        yield
