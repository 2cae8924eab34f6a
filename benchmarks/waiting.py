"""Stages that stand in for the two costly ones: decoding gives nothing, the network sleeps.

It sleeps as long as a VGG would compute, so that hundreds of cores fit on a few.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vggbatch.chunks import chunk as chunks
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.chunks.stats import Stats
from vggbatch.output.schema import TOP_K
from vggbatch.pipeline.stages import Classify, StageContext, capture_failure, write


@dataclass(frozen=True)
class WaitingContext(StageContext):
    """What the stages need to know, and how long to wait."""

    seconds_an_image: float = 0.0
    in_process: int = 1
    """Classifiers of a process that sleep at once."""


def no_model() -> Any:
    """In place of what opens networks."""
    raise NotImplementedError("a network that waits has no file")


class Waiting(Classify):
    """Classifiers that sleep, decode nothing and write: all those of a process."""

    calls_at_once = 2

    def __init__(self, context: StageContext) -> None:
        assert isinstance(context, WaitingContext)
        self.context = context
        self.failure = None
        self.awake = threading.Semaphore(context.in_process)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Take one chunk from its members to its staging file."""
        table = capture_failure(table, decode, self.context)
        with self.awake:
            table = capture_failure(table, self.classify, self.context)
        return capture_failure(table, write, self.context)

    def classify(self, table: pa.Table, context: StageContext) -> pa.Table:
        """The same prediction for every image, after the time that a network takes."""
        assert isinstance(context, WaitingContext)
        started = time.perf_counter()
        count = len(chunks.rows_of(table))
        time.sleep(count * context.seconds_an_image)
        stats = Stats.from_json(table["stats"][0].as_py()).with_scores(
            infer_seconds=time.perf_counter() - started, likelihoods=[LabelLikelihood()]
        )
        index = np.tile(np.arange(TOP_K, dtype=np.int32), (count, 1))
        return chunks.with_columns(
            table.select([*chunks.KEY, "rows"]),
            index0=chunks.bytes_of(index),
            probability0=chunks.bytes_of(np.full((count, TOP_K), 0.2, np.float32)),
            stats=pa.array([stats.to_json()]),
        )


class WaitingClassify(Waiting):
    """A classifier that sleeps, and leaves the other stages to its process."""

    classifier = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Take one chunk from its pictures to its scores."""
        return capture_failure(table, self.classify, self.context)


def decode(table: pa.Table, context: StageContext, contents: object = None) -> pa.Table:
    """A chunk without reading it: every image is there, without pictures."""
    del context, contents
    _, _, shard = next(chunks.shards_of(table))
    assert shard.members is not None
    ids = shard.image_ids(shard.members)
    nothing = pa.nulls(len(ids), pa.int32())
    rows = pa.StructArray.from_arrays(
        [pa.array(ids), pa.array(shard.sources(shard.members)), nothing, nothing.cast("string")],
        fields=list(chunks.ROW),
    )
    return chunks.with_columns(
        table.select(chunks.KEY),
        rows=chunks.list_of(rows),
        stats=pa.array([Stats(rows=len(ids)).to_json()]),
    )
