"""What an input has gained, lost and changed since it was scored, image by image.

A later listing is cut into other slices than the one that was scored, so it is not compared slice
by slice. What is there as it was is kept in the arrangement that was recorded, in which its rows
are; what is new is put into shards of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.errors import UsageError
from vggbatch.sources import Member, Shard
from vggbatch.sources.base import MEMBERS_SCHEMA
from vggbatch.sources.formats.folder import FileReader, slices
from vggbatch.storage.filesystem import public_uri

_FILES = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("source", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("version", pa.string()),
        pa.field("shard", pa.int64()),
        pa.field("row", pa.int64()),
    ]
)
"""The files of listings: what is compared of each, and where it is."""


@dataclass
class Arrangement:
    """A listing beside what was recorded."""

    kept: list[NumberedShard] = field(default_factory=list)
    """The recorded shards, with places that can be read now, whatever became of their images."""
    added: list[Shard] = field(default_factory=list)
    """What is new."""
    added_names: list[str] = field(default_factory=list)
    changed: list[Shard] = field(default_factory=list)
    """What has other sizes or versions, as it is now."""
    changed_names: list[str] = field(default_factory=list)
    removed_names: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether the input is what was recorded."""
        return not (self.added_names or self.changed_names or self.removed_names)


def arrange(recorded: Sequence[NumberedShard], listed: Sequence[Shard]) -> Arrangement:
    """Compare a listing with a recorded one.

    Args:
        recorded: the shards of an output.
        listed: the input as it is now.

    Raises:
        UsageError: images that were scored have other names now, or a name is another file's.
    """
    found = Arrangement()
    closed = {shard.name: shard for shard in listed if shard.format != FileReader.format}
    known: dict[str, Shard] = {}  # of a shard in pieces the first one
    for _, _, shard in recorded:
        if shard.format != FileReader.format:
            known.setdefault(shard.name, shard)
    signed = _compare_files(found, recorded, listed)
    for number, group, shard in recorded:
        if shard.format == FileReader.format:
            found.kept.append((number, group, _readable(shard, signed)))
            continue
        there = closed.get(shard.name)
        if there is not None and public_uri(there.uri) != public_uri(shard.uri):
            raise _renamed(shard.name, public_uri(shard.uri), public_uri(there.uri))
        found.kept.append((number, group, replace(shard, uri=there.uri if there else shard.uri)))
    for name, shard in sorted(known.items()):
        there = closed.get(name)
        if there is None:
            found.removed_names.append(name)
        elif (there.size, there.version) != (shard.size, shard.version):
            found.changed_names.append(name)
            found.changed.append(there)
    new = [shard for name, shard in closed.items() if name not in known]
    found.added += new
    found.added_names += [shard.name for shard in new]
    return found


def listed_now(names: Iterable[str], listed: Sequence[Shard]) -> list[Shard]:
    """Images of a listing, by their ids, as slices of their own; those that are not in it are not.

    Args:
        names: image ids.
        listed: the input.
    """
    now = _files(listed)
    wanted = pa.array(sorted(names), pa.string())
    return _sliced(now.filter(pc.is_in(now["name"], value_set=wanted)), listed)


def _compare_files(
    found: Arrangement, recorded: Sequence[NumberedShard], listed: Sequence[Shard]
) -> dict[str, str]:
    """Note what became of the files of listings; the new addresses of those that have others.

    In columns: a million files take seconds.
    """
    before, now = _files([shard for _, _, shard in recorded]), _files(listed)
    place = pc.index_in(now["name"], value_set=before["name"].combine_chunks())
    back = pc.index_in(before["name"], value_set=now["name"].combine_chunks())
    added, removed = now.filter(pc.is_null(place)), before.filter(pc.is_null(back))
    both, old = now.filter(pc.is_valid(place)), before.take(place.drop_null())
    if len(added) and len(removed):
        _check_same_names(added, removed)
    signed = {}
    other = pc.not_equal(pc.fill_null(both["source"], ""), pc.fill_null(old["source"], ""))
    columns = (both["name"], both["source"], old["source"])
    for name, new, was in zip(*(c.filter(other).to_pylist() for c in columns), strict=True):
        if public_uri(new or "") != public_uri(was or ""):
            raise _renamed(name, public_uri(was or ""), public_uri(new or ""))
        signed[name] = new
    # versions that were not recorded, as by earlier releases, may be others: contents decide
    unknown = pc.and_(pc.is_valid(both["version"]), pc.is_null(old["version"]))
    versions = pc.or_(pc.fill_null(pc.not_equal(both["version"], old["version"]), False), unknown)
    changed = both.filter(pc.or_(pc.not_equal(both["size"], old["size"]), versions))
    found.added_names += added["name"].to_pylist()
    found.removed_names += removed["name"].to_pylist()
    found.changed_names += changed["name"].to_pylist()
    found.added += _sliced(added, listed)
    found.changed += _sliced(changed, listed)
    return signed


def _check_same_names(added: pa.Table, removed: pa.Table) -> None:
    """Raise UsageError if files that were scored have other names now."""
    rows = zip(removed["source"].to_pylist(), removed["name"].to_pylist(), strict=True)
    places = {public_uri(source or ""): name for source, name in rows}
    for source, name in zip(added["source"].to_pylist(), added["name"].to_pylist(), strict=True):
        if (old := places.get(public_uri(source or ""))) is not None:
            raise UsageError(
                f"{old} is named {name} now, and so are others perhaps: the folder that all images "
                "have in common is another one. Name the input as it was named before"
            )


def _files(shards: Iterable[Shard]) -> pa.Table:
    """The files of all listings among shards, with the place of each."""
    tables = [_FILES.empty_table()]
    for number, shard in enumerate(shards):
        if shard.format == FileReader.format and shard.members is not None:
            rows = shard.members.select(_FILES.names[:4])
            count = len(rows)
            rows = rows.append_column("shard", pa.array(np.full(count, number), pa.int64()))
            rows = rows.append_column("row", pa.array(np.arange(count), pa.int64()))
            tables.append(rows.cast(_FILES))
    return pa.concat_tables(tables)


def _readable(shard: Shard, signed: Mapping[str, str]) -> Shard:
    """A recorded slice with the addresses of today, where those carry a signature."""
    assert shard.members is not None
    names = shard.members["name"].to_pylist() if signed else []
    if signed.keys().isdisjoint(names):
        return shard
    sources = shard.members["source"].to_pylist()
    found = [signed.get(name, source) for name, source in zip(names, sources, strict=True)]
    place = MEMBERS_SCHEMA.get_field_index("source")
    column = pa.array(found, pa.string())
    members = shard.members.set_column(place, MEMBERS_SCHEMA.field("source"), column)
    return replace(shard, members=members)


def _sliced(files: pa.Table, listed: Sequence[Shard]) -> list[Shard]:
    """Files of listings as slices of their own."""
    rows: dict[int, list[int]] = {}
    for number, row in zip(files["shard"].to_pylist(), files["row"].to_pylist(), strict=True):
        rows.setdefault(number, []).append(row)
    members = []
    for number, wanted in rows.items():
        table = listed[number].members
        assert table is not None
        members += [Member(**row) for row in table.take(wanted).to_pylist()]
    return slices(members)


def _renamed(name: str, before: str, now: str) -> UsageError:
    return UsageError(
        f"{name} was {before} when it was scored, and is {now} now: another file has its name. "
        "Give it another one, or an output of its own"
    )
