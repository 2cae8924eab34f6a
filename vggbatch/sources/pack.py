"""Write images of any source into shards of a given size, tar or Parquet."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch import uris
from vggbatch.config import ColumnOptions, DecodeOptions
from vggbatch.errors import ImageError, UsageError
from vggbatch.preprocess.content import HEAD, Form, recognize
from vggbatch.sources import names
from vggbatch.sources.base import Shard, left_out_of
from vggbatch.sources.discover import reader_for, survey
from vggbatch.sources.input_warnings import Names, merged
from vggbatch.sources.packed_set import (
    NAME,
    PackedSet,
    PackedShard,
    plan_digest,
    read_set,
    shard_name,
)
from vggbatch.sources.tables.columns import Reading
from vggbatch.storage.filesystem import Folder

ShardFormat = Literal["tar", "parquet"]
Place = tuple[int, int]
"""In the input: number of the shard, and of the image in it."""
END: Place = (2**62, 0)
"""Behind all of the input."""

_ROW_GROUP = 100
"""Rows in a row group, as Hugging Face datasets writes images: what a reader must read at once."""

_SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.string()),
    ]
)


@dataclass
class PackedTotals:
    """What was written."""

    shards: int = 0
    images: int = 0
    size: int = 0
    """Bytes of images."""
    unread: list[str] = field(default_factory=list)
    """Images that could not be read and are in no shard: `image_id: kind: message`."""
    left_out: Mapping[str, Names] = field(default_factory=dict)
    """What was met in the input and is no image, by kind."""

    def take(self, shard: PackedShard) -> None:
        """Count a shard."""
        self.shards += 1
        self.images += shard.images
        self.size += shard.image_bytes
        self.unread += shard.unread
        self.left_out = merged(self.left_out, shard.left_out)


@dataclass(frozen=True)
class _Image:
    name: str
    label: str | None
    data: bytes

    @property
    def key(self) -> str:
        """What WebDataset groups a sample's members by."""
        return names.without_image_suffix(self.name)

    @property
    def class_name(self) -> str | None:
        """The member of a tar that has the label; None where the name or nothing says it."""
        if not self.label or self.label == names.wnid_of_folder(self.name):
            return None
        return f"{self.key}.cls"


class Writer(Protocol):
    """What takes whole files under their names."""

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file that appears whole, or not at all."""


def pack(
    inputs: Sequence[str],
    output: str,
    *,
    shard_format: ShardFormat,
    shard_size: int,
    max_bytes: int = DecodeOptions().max_bytes,
    columns: ColumnOptions | None = None,
    writer: Writer | None = None,
) -> Iterator[PackedTotals]:
    """Write `shard-000000.tar` and so on; yields the running totals at least once.

    Images keep their ids as names, without what leads out of a folder, and the labels that came
    with them. A shard appears whole or not at all, and `pack.json` says which are there: where the
    same was begun before, it is continued, to the same bytes. Memory is about that of two shards.

    Args:
        inputs: as `discover` takes them.
        output: folder or URI without other shards in it.
        shard_format: `tar` (WebDataset) or `parquet` (the layout of Hugging Face datasets).
        shard_size: bytes of images after which a shard is closed.
        max_bytes: larger images are not packed.
        columns: names columns of tables and of Parquet.
        writer: writes below the output for this process alone; None: the folder itself.

    Raises:
        UsageError: no images, or the output has other shards, or cannot be written to.
    """
    folder = Folder(output)
    uris.check_utf8(folder.uri)
    there = {file.path: file.size for file in folder.list() if names.shard_format(file.path)}
    begun = read_set(folder)
    if begun is None and there:
        raise UsageError(f"{output} has shards already; name an empty folder")
    columns = columns or ColumnOptions()
    found = survey(inputs, Reading(columns))
    shards = found.shards
    settings: dict[str, Any] = {"format": shard_format, "shard_size": shard_size}
    settings |= {"max_bytes": max_bytes, **columns.model_dump(exclude_none=True)}
    plan = plan_digest(shards, settings)
    if begun is not None and begun.plan != plan:
        raise UsageError(
            f"{output} was packed from another input or with other settings; name an empty folder"
        )
    folder.check_writable()
    packed = _still_there(begun, there) if begun is not None else PackedSet(plan=plan)
    target = writer or folder
    totals = PackedTotals(left_out=found.left_out)
    for done in packed.shards:
        totals.take(done)
    if packed.complete:
        totals.unread += packed.unread
        totals.left_out = merged(totals.left_out, packed.left_out)
        yield totals
        return
    _declare(target, packed)
    if packed.shards:
        yield totals
    images = _images(shards, _start_of(packed), max_bytes)
    for batch in _batches(images, shard_size):
        if not batch.images:
            totals.unread += batch.unread
            totals.left_out = merged(totals.left_out, batch.left_out)
            rest = {"unread": tuple(batch.unread), "left_out": batch.left_out}
            packed = packed.model_copy(update=rest)
            break
        name = shard_name(totals.shards, shard_format)
        data = (_tar if shard_format == "tar" else _parquet)(batch.images)
        target.write_bytes(name, data)
        new = PackedShard(
            name=name,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            images=len(batch.images),
            labels=0 if shard_format == "parquet" else batch.labels,
            image_bytes=sum(len(image.data) for image in batch.images),
            next=batch.next,
            unread=tuple(batch.unread),
            left_out=batch.left_out,
        )
        packed = packed.model_copy(update={"shards": (*packed.shards, new)})
        _declare(target, packed)
        totals.take(new)
        yield totals
    _declare(target, packed.model_copy(update={"complete": True}))
    if not totals.shards or packed.unread:
        yield totals


def _declare(target: Writer, packed: PackedSet) -> None:
    target.write_bytes(NAME, packed.model_dump_json(indent=1).encode() + b"\n")


def _still_there(begun: PackedSet, there: Mapping[str, int]) -> PackedSet:
    """The set up to the first shard that has gone, or has another size."""
    for number, shard in enumerate(begun.shards):
        if there.get(shard.name) != shard.size:
            kept = {"shards": begun.shards[:number], "complete": False}
            kept |= {"unread": (), "left_out": {}}
            return begun.model_copy(update=kept)
    return begun


def _start_of(packed: PackedSet) -> Place:
    return packed.shards[-1].next if packed.shards else (0, 0)


@dataclass
class _Batch:
    """Images of one shard, and what was met on the way to them."""

    next: Place
    images: list[_Image] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: dict[str, Names] = field(default_factory=dict)

    @property
    def labels(self) -> int:
        """Images whose labels are members of a tar."""
        return sum(image.class_name is not None for image in self.images)


@dataclass(frozen=True)
class _Rest:
    """What else is in a shard of the input."""

    kinds: Mapping[str, Names]


_Item = _Image | str | _Rest
"""An image, `image_id: error` of one, or what is none and stands before the shard's images."""


class _Keys:
    """The keys of a shard's images: which others would be taken for parts of their samples.

    Two images under one key are one sample. A label counts for `x.a.jpg` as it does for `x.jpg`,
    beside which the former is no picture.
    """

    def __init__(self) -> None:
        self._all: set[str] = set()
        self._labeled: set[str] = set()
        self._beginnings: set[str] = set()

    def have_room_for(self, image: _Image) -> bool:
        """Whether an image stays a sample of its own beside those that are there."""
        if image.key in self._all or not self._labeled.isdisjoint(_beginnings(image.key)):
            return False
        return image.class_name is None or image.key not in self._beginnings

    def add(self, image: _Image) -> None:
        """Put an image beside them."""
        self._all.add(image.key)
        self._beginnings.update(_beginnings(image.key))
        if image.class_name is not None:
            self._labeled.add(image.key)


def _beginnings(key: str) -> Iterator[str]:
    """What a key is up to each dot of its last part."""
    folder, slash, base = key.rpartition("/")
    while "." in base:
        base = base.rpartition(".")[0]
        yield folder + slash + base


def _batches(images: Iterator[tuple[Place, _Item]], shard_size: int) -> Iterator[_Batch]:
    """The images of each shard; at the end one without images, if anything is left to count."""
    batch = _Batch((0, 0))
    size = 0
    keys = _Keys()
    # by the input's shard: each is counted where that shard's first image goes, so that a pack
    # which is continued with it counts the same
    waiting: dict[int, Mapping[str, Names]] = {}

    def count_before(number: int) -> None:
        for passed in [known for known in waiting if known < number]:
            batch.left_out = merged(batch.left_out, waiting.pop(passed))

    for place, image in images:
        if isinstance(image, _Rest):
            waiting[place[0]] = image.kinds
            continue
        if isinstance(image, str):
            count_before(place[0] + 1)
            batch.unread.append(image)
            continue
        if batch.images and (size >= shard_size or not keys.have_room_for(image)):
            batch.next = place
            count_before(place[0])
            yield batch
            batch, size, keys = _Batch(place), 0, _Keys()
        count_before(place[0] + 1)
        batch.images.append(image)
        size += len(image.data)
        keys.add(image)
    batch.next = END
    count_before(END[0])
    if batch.images or batch.unread or batch.left_out:
        yield batch


def _images(shards: Sequence[Shard], start: Place, max_bytes: int) -> Iterator[tuple[Place, _Item]]:
    """What is in the input from a place on, each with its place."""
    for number, shard in enumerate(shards):
        if number < start[0]:
            continue
        reader = reader_for(shard.format)
        first = start[1] if number == start[0] else 0
        members = reader.members(shard)
        if not first:
            yield (number, 0), _Rest(left_out_of(members))
        members = members.slice(first)
        rows = zip(
            shard.image_ids(members),
            members["label"].to_pylist(),
            reader.read(shard, members, max_bytes),
            strict=True,
        )
        for position, (name, label, data) in enumerate(rows, first):
            error = data if isinstance(data, ImageError) else _no_image(name, data)
            if isinstance(data, ImageError) or error is not None:
                yield (number, position), f"{name}: {error}"
            else:
                # hidden, or with a label of no name, a reader would leave something out
                shown = names.visible(_named_as_image(names.inside(name), data))
                yield (number, position), _Image(shown, label, data)


def _no_image(name: str, data: bytes) -> ImageError | None:
    """What is wrong with bytes that are known to be something else; damaged images are images.

    Neither named like an image nor known as one, they are none.
    """
    content = recognize(data[:HEAD])
    if content is None:
        named = names.is_image(name)
        return None if named else ImageError("not_image", "no known image format")
    if content.form in (Form.IMAGE, Form.UNDECODED):
        return None
    return ImageError("not_image", str(content))


def _named_as_image(name: str, data: bytes) -> str:
    """Record formats number their images; in a tar only a suffix marks an image."""
    if names.is_image(name):
        return name
    return f"{name}.png" if data.startswith(b"\x89PNG") else f"{name}.jpg"


def _tar(images: list[_Image]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for image in images:
            _add(tar, image.name, image.data)
            if image.label and image.class_name:
                _add(tar, image.class_name, image.label.encode())
    return sink.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _parquet(images: list[_Image]) -> bytes:
    rows = [
        {"image": {"bytes": image.data, "path": image.name}, "label": image.label}
        for image in images
    ]
    sink = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    # Images are compressed already.
    pq.write_table(
        table, sink, row_group_size=_ROW_GROUP, compression="none", write_page_checksum=True
    )
    return sink.getvalue()
