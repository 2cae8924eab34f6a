"""What a simulation is of, and what is seen of it while it runs."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vggbatch.bench.processes import memory, tree
from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.result import ChunkResult
from vggbatch.errors import VggbatchError
from vggbatch.output.image_total import Total
from vggbatch.output.progress import Progress
from vggbatch.runs.progress.tracker import RunTracker
from vggbatch.sources.base import Member, Shard, members_table

_WARM_CHUNKS = 3
"""For each actor, before the rate counts: until then processes still start, all on a few cores."""


@dataclass(frozen=True)
class Simulation:
    """What to simulate."""

    actors: int
    nodes: int
    seconds_an_image: float
    """That an actor takes."""
    shards: int
    images_a_shard: int
    seconds: float
    """That the rate is taken for, once all classifiers are at work."""
    chunk_size: int = 128
    in_process: int = 1
    """Actors that are threads of one process."""


@dataclass(frozen=True)
class Simulated:
    """What was seen."""

    actors: int
    chunk_seconds: float
    """That a chunk takes an actor."""
    chunks_a_second: float
    images_a_second: float
    of_ideal: float
    """Rate divided by actors / seconds an image."""
    start_seconds: float
    """From the start of scoring to the first chunk: as many processes as actors must start."""
    driver_cores: float
    """CPU seconds of the driver for each second, while the rate was taken."""
    driver_ms_a_chunk: float
    """The same for each chunk."""
    driver_bytes: int
    """PSS of the driver at the end."""
    driver_growth: int
    """By how much that grew while the rate was taken."""
    actor_bytes: float
    """PSS of one actor's process."""


@dataclass(frozen=True)
class _Driver:
    """Where the driver stands."""

    clock: float
    cpu: float
    """Seconds of a core that it has used."""
    size: int
    """PSS in bytes."""
    rows: int

    @staticmethod
    def now(rows: int) -> _Driver:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        return _Driver(time.perf_counter(), cpu, memory([os.getpid()]), rows)


def shards_of(what: Simulation) -> list[NumberedShard]:
    """The input: listed files that are nowhere."""
    names = [f"{image:04d}.jpg" for image in range(what.images_a_shard)]
    members = members_table([Member(name, 0, 130_000, None, f"file:///{name}") for name in names])
    size = 130_000 * what.images_a_shard
    return [
        (number, 0, Shard("files", "", f"{number:06d}", size, "", members))
        for number in range(what.shards)
    ]


class Measure:
    """Takes what comes of a simulation, for as long as it is to last.

    Args:
        what: the simulation.
        workers: what is in the command lines of the processes in which classifiers are.
    """

    def __init__(self, what: Simulation, workers: bytes) -> None:
        self.what = what
        self.shards = shards_of(what)
        self.tracker = RunTracker(Progress(), Total(self.shards, Progress()))
        self._workers = workers
        self._chunk = min(what.chunk_size, what.images_a_shard)

    def follow(self, results: Iterable[ChunkResult | None]) -> Simulated:
        """What is seen.

        Raises:
            VggbatchError: the input is too small to take a rate.
        """
        began = time.perf_counter()
        started: float | None = None
        first: _Driver | None = None
        rows = 0
        for result in results:
            if result is not None and result.stats is not None:
                self.tracker.commit(result.key, result.stats)
            rows = self.tracker.rows
            if rows and started is None:
                started = time.perf_counter() - began
            if first is None and rows >= _WARM_CHUNKS * self.what.actors * self._chunk:
                first = _Driver.now(rows)
            if first is not None and time.perf_counter() - first.clock > self.what.seconds:
                break
        if first is None or started is None or rows <= first.rows:
            raise VggbatchError("the input is too small: no image was left once all were at work")
        return self._seen(first, _Driver.now(rows), started)

    def _seen(self, first: _Driver, last: _Driver, started: float) -> Simulated:
        what, seconds = self.what, last.clock - first.clock
        rate = (last.rows - first.rows) / seconds
        cores = (last.cpu - first.cpu) / seconds
        return Simulated(
            actors=what.actors,
            chunk_seconds=self._chunk * what.seconds_an_image,
            chunks_a_second=rate / self._chunk,
            images_a_second=rate,
            of_ideal=rate * what.seconds_an_image / what.actors,
            start_seconds=started,
            driver_cores=cores,
            driver_ms_a_chunk=1000 * cores * self._chunk / rate,
            driver_bytes=last.size,
            driver_growth=last.size - first.size,
            actor_bytes=self._actor_bytes(),
        )

    def _actor_bytes(self) -> float:
        found = []
        for process in tree(os.getpid()):
            try:
                title = Path(f"/proc/{process}/cmdline").read_bytes()
            except OSError:
                continue
            if self._workers in title:
                found.append(memory([process]))
        return float(np.mean(found)) if found else 0.0
