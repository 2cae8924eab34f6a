"""What a worker has open, how carefully it is done, and how much it may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import pyarrow as pa

from vggbatch.chunks.chunk import ChunkKey, NumberedShard

SPARE = 2
"""Chunks that a worker has beside two for each classifier: one at work, one decoded."""


class Care(IntEnum):
    """How carefully something is done."""

    USUAL = 0
    ISOLATED = 1
    """Images are decoded in processes of their own."""
    ALONE = 2
    """And nothing else is open at the worker."""


@dataclass
class OpenChunk:
    """A chunk on its way through a worker."""

    key: ChunkKey
    table: pa.Table
    care: Care = Care.USUAL
    since: float = 0.0
    """When it was given to a worker."""


@dataclass
class OpenShard:
    """A shard on its way through a worker, which finds its chunks."""

    shard: NumberedShard
    found: set[ChunkKey] = field(default_factory=set)
    """Chunks that have come back, also from a worker that died."""
    care: Care = Care.USUAL
    reading: bool = True
    """Whether no chunk has come from the worker that has it: only until then can it do harm."""
    since: float = 0.0

    @property
    def key(self) -> ChunkKey:
        """The shard as a whole, as the stage `index` names it."""
        number, group, _ = self.shard
        return ChunkKey(group, number, -1, -1, -1)


@dataclass
class Seat:
    """A worker's place, which a new one takes when it dies."""

    window: int
    """Chunks that it has open at most."""
    chunks: dict[ChunkKey, OpenChunk] = field(default_factory=dict)
    shard: OpenShard | None = None
    credit: int = 0
    """Chunks that it may still send of that shard."""

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing."""
        return not self.chunks and self.shard is None

    @property
    def load(self) -> float:
        """How much of what it may have it has."""
        return len(self.chunks) / self.window

    @property
    def quiet(self) -> bool:
        """Whether nothing is open that could end the worker."""
        return not self.chunks and (self.shard is None or not self.shard.reading)

    @property
    def closed(self) -> bool:
        """Whether something is open that has to be alone."""
        items: list[OpenChunk | OpenShard] = [*self.chunks.values()]
        items += [self.shard] if self.shard is not None and self.shard.reading else []
        return any(item.care == Care.ALONE for item in items)
