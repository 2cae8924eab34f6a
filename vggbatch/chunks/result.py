"""What became of a chunk: committed with what was counted, or failed with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats

_SCHEMA = pa.schema(
    [
        ("group", pa.int32()),
        ("shard", pa.int32()),
        ("chunk", pa.int32()),
        ("chunks", pa.int32()),
        ("images", pa.int64()),
        ("stats", pa.string()),
        ("failure", pa.string()),
    ]
)
"""A result as a row: the chunk's name, its statistics as JSON, why it failed."""


@dataclass(frozen=True)
class ChunkResult:
    """What the driver learns of a chunk."""

    key: ChunkKey
    """Of a shard that could not be indexed, `chunk` is negative."""
    stats: Stats | None = None
    """What was counted of a chunk that is committed."""
    failure: str | None = None
    """`stage: reason` of a chunk that is not."""

    def to_table(self) -> pa.Table:
        """As a table of one row, which travels through the stages behind the one that made it."""
        stats = self.stats.to_json() if self.stats else None
        values = [*dataclasses.astuple(self.key), stats, self.failure]
        arrays = [pa.array([v], field.type) for v, field in zip(values, _SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=_SCHEMA)

    @classmethod
    def of_table(cls, table: pa.Table) -> Iterator[ChunkResult]:
        """The results in a table, in order."""
        for row in table.to_pylist():
            stats = Stats.from_json(row["stats"]) if row["stats"] else None
            yield cls(ChunkKey.of(row), stats, row["failure"])


def is_result(table: pa.Table) -> bool:
    """Whether a table is a result, and no chunk on its way."""
    return "failure" in table.column_names
