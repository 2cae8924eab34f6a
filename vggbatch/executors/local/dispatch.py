"""Which worker gets what: keeps each a few chunks ahead, and knows what is open at which.

The chunks of a shard are found by a worker and come back to the driver, which shares them out, so
that one large shard feeds all workers. Only so many chunks wait here that none runs out of work.

What was open at a worker that died is done again more carefully: first decoded image by image in
processes of their own, then also alone on a worker; what ends a worker alone has failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from vggbatch.chunks.chunk import ChunkKey, NumberedShard, key_of
from vggbatch.chunks.result import ChunkResult
from vggbatch.executors.local.messages import Allow, Index, Score
from vggbatch.executors.local.seats import SPARE, Care, OpenChunk, OpenShard, Seat


class Dispatch:
    """What is waiting and what is open.

    Args:
        shards: what is to be scored.
        rows: makes the row of a shard for the stage `index`, which leaves out some chunks.
        classifiers: how many each worker has.
        lethal: reasons for which shards and chunks failed before, which are not tried again; what
            fails now is added.
    """

    def __init__(
        self,
        shards: Sequence[NumberedShard],
        rows: Callable[[Sequence[NumberedShard], Collection[ChunkKey]], pa.Table],
        classifiers: Sequence[int],
        lethal: dict[ChunkKey, str],
    ) -> None:
        self._rows = rows
        self._lethal = lethal
        every = [OpenShard(shard) for shard in shards]
        self.refused = [self._failure(item.key) for item in every if item.key in lethal]
        """Results of shards that are not tried again."""
        self._shards = deque(item for item in every if item.key not in lethal)
        self._waiting: deque[OpenChunk] = deque()
        self._alone_shards: deque[OpenShard] = deque()
        self._alone_chunks: deque[OpenChunk] = deque()
        self._seats = [Seat(2 * count + SPARE) for count in classifiers]
        self._target = sum(seat.window for seat in self._seats)

    @property
    def finished(self) -> bool:
        """Whether nothing is waiting or open."""
        waiting = self._shards or self._waiting or self._alone_shards or self._alone_chunks
        return not waiting and all(seat.idle for seat in self._seats)

    def idle(self, number: int) -> bool:
        """Whether a worker has nothing to do."""
        return self._seats[number].idle

    @property
    def open_chunks(self) -> int:
        """How many chunks the workers have."""
        return sum(len(seat.chunks) for seat in self._seats)

    @property
    def indexing(self) -> list[str]:
        """The names of the shards that are being indexed."""
        return [seat.shard.shard[2].name for seat in self._seats if seat.shard is not None]

    def give(self, able: Collection[int]) -> Iterator[tuple[int, Any]]:
        """What to send to which worker now.

        Args:
            able: the workers that may get something.
        """
        usual = []
        for number in able:
            seat = self._seats[number]
            # one place is enough for what has to be alone, so that the others have no part in it
            shards = self._alone_shards if seat.shard is None else None
            alone = (self._alone_chunks or shards) if number == 0 else None
            if not alone and not seat.closed:
                usual.append(number)
            elif alone and seat.quiet:
                item = alone.popleft()
                start = self._index if isinstance(item, OpenShard) else self._score
                yield number, start(seat, item)  # type: ignore[arg-type]  # of that kind
        yield from self._share_out(usual)
        for number in usual:
            if self._shards and self._seats[number].shard is None and self._room > 0:
                yield number, self._index(self._seats[number], self._shards.popleft())
        for number in able:
            seat = self._seats[number]
            more = min(self._room, seat.window - seat.credit)
            if seat.shard is not None and more > 0:
                seat.credit += more
                yield number, Allow(more)

    def _share_out(self, usual: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Give each waiting chunk to the worker that has the least to do."""
        while self._waiting:
            free = [n for n in usual if self._seats[n].load < 1]
            if not free:
                return
            number = min(free, key=lambda n: self._seats[n].load)
            yield number, self._score(self._seats[number], self._waiting.popleft())

    def found(self, number: int, table: pa.Table) -> ChunkResult | None:
        """A worker has sent a chunk of its shard; the failure of one that is not tried again."""
        seat, key = self._seats[number], key_of(table)
        assert seat.shard is not None, "chunks come from a shard that is being indexed"
        seat.credit -= 1
        seat.shard.reading = False
        seat.shard.found.add(key)
        if key in self._lethal:
            return self._failure(key)
        self._waiting.append(OpenChunk(key, table))
        return None

    def indexed(self, number: int) -> None:
        """A worker has sent all chunks of its shard."""
        self._seats[number].shard, self._seats[number].credit = None, 0

    def done(self, number: int, key: ChunkKey) -> None:
        """A worker has given a chunk's result."""
        self._seats[number].chunks.pop(key, None)

    def lost(self, number: int, reason: str) -> list[ChunkResult]:
        """A worker is gone: what it had is done again with more care.

        Args:
            number: its place.
            reason: why: the end of a sentence that begins with the process.

        Returns:
            What has failed, because it was alone.
        """
        seat, failed = self._seats[number], []
        for chunk in seat.chunks.values():
            if chunk.care == Care.ALONE:
                self._lethal[chunk.key] = f"worker: scoring the chunk alone, its process {reason}"
                failed.append(self._failure(chunk.key))
            elif chunk.care == Care.ISOLATED:
                chunk.care = Care.ALONE
                self._alone_chunks.append(chunk)
            else:
                chunk.care = Care.ISOLATED
                self._waiting.appendleft(chunk)
        if (shard := seat.shard) is not None:
            if not shard.reading:
                self._shards.appendleft(shard)
            elif shard.care == Care.ALONE:
                name = shard.shard[2].name
                self._lethal[shard.key] = f"worker: indexing {name} alone, its process {reason}"
                failed.append(self._failure(shard.key))
            else:
                shard.care = Care.ALONE
                self._alone_shards.append(shard)
        seat.chunks, seat.shard, seat.credit = {}, None, 0
        return failed

    def open_items(self, number: int) -> Iterator[tuple[float, ChunkKey, Care]]:
        """What a worker has: since when, what, and how carefully it is done."""
        seat = self._seats[number]
        for chunk in seat.chunks.values():
            yield chunk.since, chunk.key, chunk.care
        if seat.shard is not None and seat.shard.reading:
            yield seat.shard.since, seat.shard.key, seat.shard.care

    def shift(self, seconds: float) -> None:
        """Leave out a time in which the driver itself stood still."""
        for seat in self._seats:
            for chunk in seat.chunks.values():
                chunk.since += seconds
            if seat.shard is not None:
                seat.shard.since += seconds

    @property
    def _room(self) -> int:
        """Chunks more that are wanted of shards."""
        return self._target - len(self._waiting) - sum(seat.credit for seat in self._seats)

    def _score(self, seat: Seat, chunk: OpenChunk) -> Score:
        chunk.since = time.monotonic()
        seat.chunks[chunk.key] = chunk
        return Score(chunk.table, isolate=chunk.care > Care.USUAL)

    def _index(self, seat: Seat, item: OpenShard) -> Index:
        item.since, item.reading = time.monotonic(), True
        seat.shard, seat.credit = item, max(1, min(self._room, seat.window))
        return Index(item.shard[0], self._rows([item.shard], item.found), seat.credit)

    def _failure(self, key: ChunkKey) -> ChunkResult:
        return ChunkResult(key, failure=self._lethal[key])
