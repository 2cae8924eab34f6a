"""What of a run is committed: by group once one is complete, until then by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vggbatch.bounds import Count, Rate
from vggbatch.chunks.chunk import ChunkKey, NumberedShard, shard_table


@dataclass
class Progress:
    """What is committed. Of a complete group only the marker is kept, so it stays small."""

    groups: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Group number -> its marker."""
    chunks: dict[int, set[int]] = field(default_factory=dict)
    """Shard number -> committed chunks, of shards in groups that are not complete."""
    totals: dict[int, int] = field(default_factory=dict)
    """Shard number -> how many chunks it has, as far as known; of the same shards."""
    images: dict[int, int] = field(default_factory=dict)
    """Shard number -> how many images it has, likewise."""
    staged: dict[int, int] = field(default_factory=dict)
    """Group number -> committed rows, of groups that are not complete."""
    grouped_rows: int = 0
    """Rows of the complete groups."""
    lost: list[str] = field(default_factory=list)
    """What was complete and is missing or damaged, a line each; its groups are scored again."""
    lost_rows: int = 0
    """Rows of those groups, as far as their markers say."""

    @property
    def rows(self) -> int:
        """Rows that are safe."""
        return self.grouped_rows + sum(self.staged.values())

    def commit(self, key: ChunkKey, rows: int) -> bool:
        """Note a committed chunk; whether it was new."""
        done = self.chunks.get(key.shard, set())
        if key.group in self.groups or key.chunk in done:
            return False
        done.add(key.chunk)
        self.chunks[key.shard] = done
        self.totals[key.shard] = key.chunks
        self.images[key.shard] = key.images
        self.staged[key.group] = self.staged.get(key.group, 0) + rows
        return True

    def shard_complete(self, shard: int) -> bool:
        """Whether every chunk is committed of a shard whose group is not complete."""
        return len(self.chunks.get(shard, ())) == self.totals.get(shard, -1)

    def left(self, shards: Iterable[NumberedShard]) -> list[NumberedShard]:
        """Those of the shards that have chunks to be scored, as far as is known."""
        return [
            (number, group, shard)
            for number, group, shard in shards
            if group not in self.groups and not self.shard_complete(number)
        ]

    def to_score(
        self, shards: Sequence[NumberedShard], reserved: Iterable[ChunkKey] = ()
    ) -> pa.Table:
        """Rows of SHARD_SCHEMA, and `done`: the chunks that are committed or `reserved`."""
        done = {number: set(self.chunks.get(number, ())) for number, _, _ in shards}
        for key in reserved:
            if key.shard in done:
                done[key.shard].add(key.chunk)
        column = pa.array([sorted(done[number]) for number, _, _ in shards], pa.list_(pa.int32()))
        return shard_table(shards).append_column("done", column)

    def close(self, group: int, shards: Iterable[int], marker: dict[str, Any]) -> None:
        """Note that a group is complete, and forget its chunks."""
        if group not in self.groups:
            self.groups[group] = marker
            self.grouped_rows += marker["rows"]
        self.staged.pop(group, None)
        for shard in shards:
            self.chunks.pop(shard, None)
            self.totals.pop(shard, None)
            self.images.pop(shard, None)


@dataclass(frozen=True)
class Snapshot:
    """How far a run is."""

    rows: Count
    """Images that are safe, earlier runs' included."""
    total: Count
    """Images in all."""
    errors: Count
    """Error rows, earlier runs' included as far as their groups are complete."""
    images_per_second: Rate
    """Of this run, from the start of scoring, classifiers' start included."""
    note: str | None = None
    """A line that the user should see: what the run waits for, what is odd."""
    executor: str | None = None
    """What scores: `local` or `ray`."""
    exact: bool = True
    """Whether `total` was counted; it is an estimate until every shard is opened."""
