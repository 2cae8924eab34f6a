"""What the driver and a worker process send each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.chunks.result import ChunkResult
from vggbatch.pipeline.stages import StageContext


@dataclass(frozen=True)
class Open:
    """To a worker: open the networks. Nothing of the input is read before `Begin`."""

    context: StageContext
    classifiers: int
    log_level: int
    """The lowest level of the log lines that the driver wants to have."""


@dataclass(frozen=True)
class Begin:
    """To a worker: what follows is scored with this context."""

    context: StageContext


@dataclass(frozen=True)
class Index:
    """To a worker: cut a shard into chunks and send them back."""

    number: int
    """The shard's."""
    shard: pa.Table
    """One row, as the stage `index` takes it."""
    credit: int
    """How many chunks may be sent until `Allow` comes."""


@dataclass(frozen=True)
class Allow:
    """To a worker: send so many chunks more of the shard that is being indexed."""

    chunks: int


@dataclass(frozen=True)
class Score:
    """To a worker: decode, classify and commit a chunk."""

    chunk: pa.Table
    isolate: bool
    """Decode each image in a process of its own."""


@dataclass(frozen=True)
class Ready:
    """From a worker: the networks are open, or cannot be opened, as its results will say."""


@dataclass(frozen=True)
class Alive:
    """From a worker: nothing has happened."""


@dataclass(frozen=True)
class Found:
    """From a worker: a chunk of the shard that is being indexed."""

    number: int
    """The shard's."""
    chunk: pa.Table


@dataclass(frozen=True)
class Indexed:
    """From a worker: there are no more chunks in the shard."""

    number: int


@dataclass(frozen=True)
class Done:
    """From a worker: a chunk is committed or failed, or a shard cannot be indexed."""

    result: ChunkResult


@dataclass(frozen=True)
class Logged:
    """From a worker: a log line."""

    record: logging.LogRecord
