"""Chunks scored by the stages one after the other, without an executor: what all must equal."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support.outputs import owned
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.placement import Placement, place_here
from vggbatch.config import load_config
from vggbatch.executors.base import Work, stage_context
from vggbatch.job.job import Job, prepare_job
from vggbatch.output.layout import Output
from vggbatch.output.progress import Progress
from vggbatch.pipeline.stages import Classify, StageContext, capture_failure, decode, index, write
from vggbatch.runs.resume import open_output

CHUNK = 4


def job_of(net: Path, images: Path, output: Path, *settings: str) -> Job:
    """The job that scores some images in chunks of CHUNK."""
    values = {"input": (str(images),), "model": str(net), "output": str(output)}
    settings = (f"chunk_size={CHUNK}", "compute.pin=false", *settings)
    return prepare_job(load_config(options=values, settings=settings, environ={}))


def work_of(job: Job) -> Work:
    """All of a job, in an output that is opened for it."""
    output = owned(job.config.output)
    numbered, planned = open_output(output, job)
    return Work(job, "test", output, planned.chunk_size, numbered, Progress())


def placement_of(job: Job) -> Placement:
    """Where the job would run here."""
    return place_here(job.config.compute)


def score(work: Work, done: Collection[ChunkKey] = ()) -> list[ChunkResult]:
    """The results of all chunks but some, in order."""
    context = work.context(placement_of(work.job))
    return score_with(context, work.rows(work.shards, done))


def score_with(context: StageContext, shards: Any) -> list[ChunkResult]:
    """The results of the chunks of some shards."""
    # a classifier has a process to itself elsewhere, and may keep that to some cores
    classify = Classify(replace(context, pin=False))
    return [
        next(ChunkResult.of_table(capture_failure(classify(decoded), write, context)))
        for chunk in index(shards, context)
        for decoded in [capture_failure(chunk, decode, context)]
    ]


def staged(output: Output, read: Callable[[Any], Any] = pq.read_table) -> dict[str, Any]:
    """Staging file, without the plan's ID -> its rows."""
    return {
        name.partition("staging/")[2]: read(io.BytesIO(output.folder.read_bytes(name))).to_pylist()
        for _, _, name in output.parts(0)
    }


__all__ = ["CHUNK", "job_of", "placement_of", "score", "score_with", "stage_context", "staged"]
