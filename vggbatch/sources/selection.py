"""The images of an input that are wanted, chosen by their ids before anything is scored.

What is left of a shard is a shard with a table of members, as a listing of files is one. Shards
are opened here where it takes their images' names to choose: all of them for a sample, the first
ones for a limit, none for a part where there are as many shards as parts.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.config import Selection
from vggbatch.errors import UsageError
from vggbatch.sources.base import Shard
from vggbatch.sources.discover import reader_for
from vggbatch.storage.filesystem import public_uri

_OPENED = 16
"""Shards that are opened at a time."""


def select(shards: Sequence[Shard], selection: Selection) -> list[Shard]:
    """The wanted images of shards, in their order.

    Args:
        shards: of the whole input.
        selection: which of its images; a part is one of what limit or sample leave.

    Raises:
        UsageError: a shard cannot be read, or there are fewer images than parts.
    """
    chosen = list(shards)
    if selection.limit is not None:
        chosen = _first(chosen, selection.limit)
    if selection.sample is not None:
        chosen = _sampled(chosen, selection.sample, selection.seed)
    if selection.place is not None:
        chosen = _part(chosen, *selection.place)
    return chosen


def _first(shards: Iterable[Shard], count: int) -> list[Shard]:
    chosen: list[Shard] = []
    for shard in shards:
        if shard.members is None and shard.images is not None and shard.images <= count:
            count -= shard.images  # all of it, whatever the names
            chosen.append(shard)
        else:
            members = _opened(shard)
            chosen += _some(shard, members, np.arange(min(count, len(members))))
            count -= min(count, len(members))
        if count == 0:
            break
    return chosen


def _sampled(shards: Sequence[Shard], count: int, seed: int) -> list[Shard]:
    """Those whose hashes are the least: a sample without an order of the input."""
    key = hashlib.sha256(str(seed).encode()).digest()
    least: list[tuple[int, int, int]] = []  # negated: the greatest is on top
    tables: dict[int, pa.Table] = {}
    for number, members in enumerate(_all_opened(shards)):
        before = len(least), least[0] if least else None
        for row, name in enumerate(shards[number].image_ids(members)):
            digest = hashlib.blake2b(
                name.encode("utf-8", "surrogatepass"), digest_size=8, key=key
            ).digest()
            item = -int.from_bytes(digest, "big"), -number, -row
            if len(least) < count:
                heapq.heappush(least, item)
            elif item > least[0]:
                heapq.heapreplace(least, item)
        if before != (len(least), least[0] if least else None):
            tables[number] = members
            if len(tables) > 2 * count:
                kept = {-n for _, n, _ in least}
                tables = {n: table for n, table in tables.items() if n in kept}
    rows: dict[int, list[int]] = {}
    for _, number, row in least:
        rows.setdefault(-number, []).append(-row)
    return [
        part
        for number in sorted(rows)
        for part in _some(shards[number], tables[number], np.sort(rows[number]))
    ]


def _part(shards: list[Shard], number: int, count: int) -> list[Shard]:
    closed = [shard for shard in shards if shard.members is None]
    if len(closed) < count:
        opened = [
            replace(shard, members=members)
            for shard, members in zip(shards, _all_opened(shards), strict=True)
        ]
        closed, listed = [], opened
    else:
        listed = [shard for shard in shards if shard.members is not None]
    images = sum(len(shard.members or ()) for shard in listed)
    if not closed and images < count:
        raise UsageError(f"--part {number}/{count} of {images} images: there are more parts")
    start, end = _bounds(images, number, count)
    chosen = closed[slice(*_bounds(len(closed), number, count))]
    first = 0
    for shard in listed:
        assert shard.members is not None
        size = len(shard.members)
        inside = np.arange(max(0, start - first), min(size, end - first))
        chosen += _some(shard, shard.members, inside)
        first += size
    return chosen


def _bounds(total: int, number: int, count: int) -> tuple[int, int]:
    return total * (number - 1) // count, total * number // count


def _some(shard: Shard, members: pa.Table, rows: npt.NDArray[np.integer]) -> list[Shard]:
    """A shard with some of its members; nothing where there are none."""
    if not len(rows):
        return []
    if len(rows) == len(members) and shard.members is not None:
        return [shard]
    chosen = members.take(pa.array(rows))
    if rows[0] > 0:
        chosen = chosen.replace_schema_metadata(None)  # what else it has is said with its first
    return [replace(shard, members=chosen, images=None)]


def _all_opened(shards: Iterable[Shard]) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(_OPENED) as pool:
        yield from pool.map(_opened, shards)


def _opened(shard: Shard) -> pa.Table:
    try:
        return reader_for(shard.format).members(shard)
    except OSError as error:
        raise UsageError(
            f"{public_uri(shard.uri)} cannot be read ({error}), and it takes its images' names to "
            "choose some of them"
        ) from None
