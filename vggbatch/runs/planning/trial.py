"""A short trial of a job on this machine: a few of its images, scored by workers as in a run.

What is measured is the rate of all cores together, with what they share: memory, caches, the disk.
All that is written goes into a temporary folder.
"""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.result import ChunkResult
from vggbatch.errors import VggbatchError
from vggbatch.executors.base import ExecutionFailed, Executor, Work
from vggbatch.executors.choose import executor_for
from vggbatch.job.job import Job
from vggbatch.job.networks import network_opener
from vggbatch.models.preparation.prepare import is_prepared
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.progress import Progress
from vggbatch.output.writer import open_writer
from vggbatch.sources import Shard, reader_for
from vggbatch.sources.base import members_table
from vggbatch.storage.filesystem import Folder

_T = TypeVar("_T")

MEASURED_S = 5.0
"""Seconds for which images are scored."""
_CHUNK_S = 0.4
"""What a chunk is to take: many of them make the rate exact, and few cost too much each."""
_GIVE_UP_S = 60.0
"""Seconds after which a trial without a result is given up."""
_LISTINGS, _OF_EACH = 16, 32
"""Parts of a listing that images are taken of, spread evenly, and images of each."""
_CLOSED, _OF_CLOSED = 4, 64
"""Shards that images are taken of, and first images of each."""
_EACH = 4
"""Chunks that each classifier has done at least, where that does not take too long."""
_FIRST = 4
"""Images in a chunk until it is known how long one takes."""
_SMALL_NETWORK = 100 * 2**20
"""Bytes of networks that are prepared for a trial; to prepare larger ones takes too long."""


@dataclass(frozen=True)
class Trial:
    """What was measured."""

    images: int
    """That the rate is of."""
    images_per_second: float
    cores: int
    """That classifiers had."""
    start_seconds: float
    """From nothing to workers that have their networks open, and a chunk read and scored."""
    prepare_seconds: float
    """To get the networks ready, which is done once on a machine; 0 where they were."""
    row_bytes: float
    """Of a row in a predictions file, those of all profiles together."""
    image_bytes: float

    @property
    def core_seconds(self) -> float:
        """Of an image."""
        return self.cores / self.images_per_second


class NotMeasured(Exception):
    """There is no trial. Its text is the reason."""


def try_out(job: Job, model_bytes: int) -> Trial:
    """Score a few images of a job for some seconds.

    Args:
        job: the checked job.
        model_bytes: size of its networks.

    Raises:
        NotMeasured: it cannot be tried out here.
    """
    compute = job.config.compute
    # what was asked of a cluster says nothing of this machine
    here = {"executor": "local", "address": None, "log_format": "text"}
    if compute.cluster_address is not None:
        here |= {"actors": None, "max_cpus": None}
    config = job.config.model_copy(update={"compute": compute.model_copy(update=here)})
    job = replace(job, config=config)
    prepared = all(is_prepared(m, cache_dir=config.cache_dir) for m in job.models)
    if not prepared and model_bytes > _SMALL_NETWORK:
        names = " ".join(model.name for model in job.models)
        raise NotMeasured(
            f"the network is not prepared on this machine (vggbatch models prepare {names})"
        )
    pool = list(_pool(job.shards))
    if not pool:
        raise NotMeasured("no image could be taken")
    started = time.perf_counter()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vggbatch-plan-") as folder,
            executor_for(config.compute) as executor,
            OutputLease(Folder(folder)) as lease,
        ):
            output = Output(lease.folder, uuid.uuid4().hex[:16], lease.fence)
            return _measured(job, executor, output, pool, started, prepared=prepared)
    except (VggbatchError, ExecutionFailed, OSError) as error:
        raise NotMeasured(" ".join(str(error).split())) from None


def _measured(
    job: Job,
    executor: Executor,
    output: Output,
    pool: list[Shard],
    started: float,
    *,
    prepared: bool,
) -> Trial:
    before = time.perf_counter()
    network_opener(job)()
    preparing = 0.0 if prepared else time.perf_counter() - before
    placement = executor.check(job, lambda line: None)
    actors = placement.actors
    work = _Works(job, output, pool)
    first = list(_results(executor, work.of(_FIRST, actors), _GIVE_UP_S))
    starting = first[0][0] - started - preparing
    seconds = sum(result.stats.infer_seconds for _, result in first if result.stats)
    images = sum(result.stats.rows for _, result in first if result.stats)
    # of a chunk one classifier has the work alone
    size = min(job.chunk_size, max(_FIRST, round(_CHUNK_S * images / max(seconds, 1e-6))))
    chunks = int(actors * (4 + 2 * MEASURED_S / _CHUNK_S))
    chunks = min(chunks, max(2 * actors, job.estimated_images // size))  # of a small job it is all
    found = list(_results(executor, work.of(size, chunks), MEASURED_S, _EACH * actors))
    # until each classifier has had one, not all were at work
    known = found[min(actors, len(found) // 2) :]
    begin = found[len(found) - len(known) - 1][0] if len(known) < len(found) else before
    rows = sum(result.stats.rows for _, result in known if result.stats)
    all_rows = [result.stats for _, result in first + found if result.stats]
    return Trial(
        images=rows,
        images_per_second=rows / (known[-1][0] - begin),
        cores=actors * placement.threads,
        start_seconds=starting,
        prepare_seconds=preparing,
        row_bytes=_row_bytes(output),
        image_bytes=sum(s.image_bytes for s in all_rows) / sum(s.rows for s in all_rows),
    )


def _results(
    executor: Executor, work: Work, limit: float, least: int = 1
) -> Iterator[tuple[float, ChunkResult]]:
    """What comes, with its time, until a time is over and so much has come, or three times that."""
    begun, came = time.perf_counter(), 0
    with closing(executor.run(work)) as results:
        for result in results:
            now = time.perf_counter()
            if result is not None and result.stats is None:
                raise NotMeasured(f"a chunk failed: {result.failure}")
            if result is not None:
                came += 1
                yield now, result
            if now - begun > (_GIVE_UP_S if not came else limit if came >= least else 3 * limit):
                break
    if not came:
        raise NotMeasured(f"nothing was scored in {_GIVE_UP_S:.0f} s")


class _Works:
    """Work of images of a pool, again and again, each time under numbers of its own."""

    def __init__(self, job: Job, output: Output, pool: list[Shard]) -> None:
        self._job, self._output, self._pool = job, output, pool
        self._number = 0

    def of(self, chunk_size: int, chunks: int) -> Work:
        """So many chunks of that size, in another order each time."""
        pieces = [
            replace(shard, members=shard.members.slice(start, chunk_size))
            for shard in self._pool
            if shard.members is not None
            for start in range(0, len(shard.members), chunk_size)
        ]
        random.Random(self._number).shuffle(pieces)
        numbered: list[NumberedShard] = []
        for place in range(chunks):
            numbered.append((self._number, self._number, pieces[place % len(pieces)]))
            self._number += 1
        return Work(self._job, "trial", self._output, chunk_size, numbered, Progress())


def _pool(shards: tuple[Shard, ...]) -> Iterator[Shard]:
    """A few images of the input, in no order."""
    rng = random.Random(0)
    listed = [shard for shard in shards if shard.members is not None and len(shard.members)]
    for shard in _spread(listed, _LISTINGS):
        assert shard.members is not None
        places = _spread(
            range(len(shard.members)), _OF_EACH * _LISTINGS // min(_LISTINGS, len(listed))
        )
        yield replace(shard, members=shard.members.take(rng.sample(places, len(places))))
    for shard in _spread([shard for shard in shards if shard.members is None], _CLOSED):
        with suppress(OSError):
            members = members_table(reader_for(shard.format).first_members(shard, _OF_CLOSED))
            if len(members):
                yield replace(shard, members=members, images=None)


def _spread(items: Sequence[_T], count: int) -> list[_T]:
    step = max(1, len(items) // count)
    return list(items[::step][:count])


def _row_bytes(output: Output) -> float:
    """What a row adds to a predictions file."""
    parts = [
        pq.read_table(pa.BufferReader(output.folder.read_bytes(name)))
        for name in output.folder.walk("")
        if name.endswith(".parquet") and "/staging/" in name
    ]
    rows = pa.concat_tables(part.replace_schema_metadata(None) for part in parts)
    rows = rows.unify_dictionaries()
    half = len(rows) // 2
    return (_size(rows) - _size(rows.slice(0, half))) / (len(rows) - half)


def _size(rows: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    with open_writer(sink, rows.schema) as writer:
        writer.write_table(rows)
    return int(sink.tell())
