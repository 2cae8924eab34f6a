"""Whether files that look modified have the content that was scored: a sum over bytes decides.

A copy, an unpacked archive or `touch` gives files new times. While it is decoded, each image adds a
checksum of its name and bytes to its shard's sum (32 µs for 110 kB, measured). Where a run is
resumed on an input of the same names and sizes and other times, what was scored is read again and
has to give the same sums.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import pyarrow as pa

from vggbatch.chunks import chunk as chunks
from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.stats import Stats
from vggbatch.errors import ImageError
from vggbatch.output.layout import Output
from vggbatch.output.writer import part_stats
from vggbatch.sources import Shard, reader_for


def checksum(name: str, data: bytes) -> int:
    """Of an image's bytes, under its name."""
    return zlib.crc32(data, zlib.crc32(name.encode("utf-8", "surrogatepass")))


def touched(old: Sequence[Shard], new: Sequence[Shard]) -> list[int] | None:
    """The shards that differ in their version alone; None where more of the input differs."""
    if len(old) != len(new) or any(map(_differ, old, new)):
        return None
    pairs = enumerate(zip(old, new, strict=True))
    return [number for number, (a, b) in pairs if a.version != b.version]


def modified(
    output: Output, shards: Iterable[NumberedShard], chunk_size: int, max_bytes: int
) -> str | None:
    """The first of some shards whose committed images have other bytes now; None if none has.

    Args:
        output: what was scored.
        shards: with the input as it is now.
        chunk_size: as the run was planned with.
        max_bytes: as images are read.

    Raises:
        LookupError: the run has recorded no sums, as versions before 0.1.0 did not.
    """
    for number, group, shard in shards:
        marker = output.read_marker(group)
        recorded = Stats()
        done: set[int] | None = None
        if marker is not None:
            recorded = Stats.from_json(marker["stats"])
        else:
            parts = [(k, path) for k, _, path in output.parts(group) if k.shard == number]
            done = {key.chunk for key, _ in parts}
            recorded = Stats.total(part_stats(output, path) for _, path in parts)
        if done is not None and not done:
            continue  # nothing of it was scored
        if recorded.rows > recorded.error_rows and not recorded.content:
            raise LookupError(number)
        now = _sum_of(number, group, shard, done, chunk_size, max_bytes)
        if now != recorded.content.get(str(number), 0):
            return _shown(shard)
    return None


def has_content(output: Output, numbered: NumberedShard, chunk_size: int, max_bytes: int) -> bool:
    """Whether the images of a shard whose group is complete have the bytes that were scored."""
    number, group, shard = numbered
    marker = output.read_marker(group)
    if marker is None:
        return False
    recorded = Stats.from_json(marker["stats"]).content.get(str(number))
    return recorded == _sum_of(number, group, shard, None, chunk_size, max_bytes)


def _sum_of(
    number: int, group: int, shard: Shard, done: set[int] | None, chunk_size: int, max_bytes: int
) -> int:
    """The sum over the images of a shard's chunks, those in `done`, or all."""
    reader = reader_for(shard.format)
    total = 0
    for part in chunks.split(number, group, shard, reader.members(shard), chunk_size):
        if done is not None and chunks.key_of(part).chunk not in done:
            continue
        members = next(chunks.shards_of(part))[2].members
        assert members is not None
        total += sum_of(shard.image_ids(members), reader.read(shard, members, max_bytes))
    return total


def sum_of(ids: Sequence[str], contents: Iterable[bytes | ImageError]) -> int:
    """The sum over images; what could not be read counts nothing."""
    pairs = zip(ids, contents, strict=True)
    return sum(checksum(name, data) for name, data in pairs if isinstance(data, bytes))


def _differ(a: Shard, b: Shard) -> bool:
    if (a.format, a.name, a.size) != (b.format, b.name, b.size):
        return True
    return _listed(a.members) != _listed(b.members)


def _listed(members: pa.Table | None) -> tuple[list[str], list[int]] | None:
    if members is None:
        return None
    return members["name"].to_pylist(), members["size"].to_pylist()


def _shown(shard: Shard) -> str:
    if shard.members is None or not len(shard.members):
        return shard.name
    names = shard.members["name"]
    return f"{names[0].as_py()} to {names[-1].as_py()}"
