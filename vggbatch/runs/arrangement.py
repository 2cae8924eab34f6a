"""What an input has gained, lost and changed since it was scored, image by image.

A later listing is cut into other slices than the one that was scored, so it is not compared slice
by slice. What is there as it was is kept in the arrangement that was recorded, in which its rows
are; what is new is put into shards of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.errors import UsageError
from vggbatch.sources import Member, Shard
from vggbatch.sources.base import MEMBERS_SCHEMA
from vggbatch.sources.formats.folder import FileReader, slices
from vggbatch.storage.filesystem import public_uri


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


@dataclass(frozen=True)
class _Image:
    """An image of a listing."""

    source: str
    size: int
    version: str | None
    shard: int
    row: int

    def differs(self, other: _Image) -> bool:
        return self.size != other.size or (
            None not in (self.version, other.version) and self.version != other.version
        )


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
    known = {shard.name for _, _, shard in recorded if shard.format != FileReader.format}
    before = dict(_images([shard for _, _, shard in recorded]))
    now = dict(_images(listed))
    for number, group, shard in recorded:
        if shard.format == FileReader.format:
            found.kept.append((number, group, _readable(shard, listed, now)))
            continue
        there = closed.get(shard.name)
        if there is not None and public_uri(there.uri) != public_uri(shard.uri):
            raise _renamed(shard.name, public_uri(shard.uri), public_uri(there.uri))
        found.kept.append((number, group, replace(shard, uri=there.uri if there else shard.uri)))
    for name in sorted(known):
        there = closed.get(name)
        pieces = [s for _, _, s in recorded if s.name == name and s.format != FileReader.format]
        if there is None:
            found.removed_names.append(name)
        elif (there.size, there.version) != (pieces[0].size, pieces[0].version):
            found.changed_names.append(name)
            found.changed.append(there)
    _compare_files(found, before, now, listed)
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
    now = dict(_images(listed))
    return _sliced([name for name in names if name in now], now, listed)


def _compare_files(
    found: Arrangement, before: dict[str, _Image], now: dict[str, _Image], listed: Sequence[Shard]
) -> None:
    added = [name for name in now if name not in before]
    removed = [name for name in before if name not in now]
    places = {before[name].source: name for name in removed}
    for name in added:
        if (old := places.get(now[name].source)) is not None:
            raise UsageError(
                f"{old} is named {name} now, and so are others perhaps: the folder that all images "
                "have in common is another one. Name the input as it was named before"
            )
    changed = []
    for name, image in now.items():
        if (old_image := before.get(name)) is None:
            continue
        if old_image.source != image.source:
            raise _renamed(name, old_image.source, image.source)
        if image.differs(old_image):
            changed.append(name)
    found.added_names += added
    found.removed_names += removed
    found.changed_names += changed
    found.added += _sliced(added, now, listed)
    found.changed += _sliced(changed, now, listed)


def _images(shards: Iterable[Shard]) -> Iterator[tuple[str, _Image]]:
    """The images of all listings among shards, by id."""
    for number, shard in enumerate(shards):
        if shard.format != FileReader.format or shard.members is None:
            continue
        columns = [shard.members[name].to_pylist() for name in ("source", "size", "version")]
        names = shard.members["name"].to_pylist()
        for row, (name, source, size, version) in enumerate(zip(names, *columns, strict=True)):
            yield name, _Image(public_uri(source or ""), size, version, number, row)


def _readable(shard: Shard, listed: Sequence[Shard], now: dict[str, _Image]) -> Shard:
    """A recorded slice with the addresses of today, where those carry a signature."""
    assert shard.members is not None
    sources = shard.members["source"].to_pylist()
    if not any("://" in source for source in sources if source):
        return shard
    found = []
    for name, source in zip(shard.members["name"].to_pylist(), sources, strict=True):
        image = now.get(name)
        table = listed[image.shard].members if image is not None else None
        found.append(table["source"][image.row].as_py() if image and table else source)
    place = MEMBERS_SCHEMA.get_field_index("source")
    column = pa.array(found, pa.string())
    return replace(
        shard, members=shard.members.set_column(place, MEMBERS_SCHEMA.field("source"), column)
    )


def _sliced(names: Sequence[str], now: dict[str, _Image], listed: Sequence[Shard]) -> list[Shard]:
    """Images of listings as slices of their own."""
    rows: dict[int, list[int]] = {}
    for name in names:
        rows.setdefault(now[name].shard, []).append(now[name].row)
    members = []
    for number, wanted in rows.items():
        table = listed[number].members
        assert table is not None
        members += [Member(**row) for row in table.take(wanted).to_pylist()]
    return slices((member, member.version or "") for member in members)


def _renamed(name: str, before: str, now: str) -> UsageError:
    return UsageError(
        f"{name} was {before} when it was scored, and is {now} now: another file has its name. "
        "Give it another one, or an output of its own"
    )
