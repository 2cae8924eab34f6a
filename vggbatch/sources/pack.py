"""Write images of any source into shards of a given size, tar or Parquet."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.errors import ImageError, UsageError
from vggbatch.sources import names
from vggbatch.sources.base import Shard
from vggbatch.sources.discover import discover, reader_for
from vggbatch.storage import Folder

ShardFormat = Literal["tar", "parquet"]

_ROW_GROUP = 100
"""Rows in a row group, as Hugging Face datasets writes images: what a reader must read at once."""

_SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.string()),
    ]
)


@dataclass
class Packed:
    """What was written."""

    shards: int = 0
    images: int = 0
    size: int = 0
    """Bytes of images."""
    unread: list[str] = field(default_factory=list)
    """Images that could not be read and are in no shard: `image_id: kind: message`."""


@dataclass(frozen=True)
class _Image:
    name: str
    label: str | None
    data: bytes

    @property
    def key(self) -> str:
        """What WebDataset groups a sample's members by."""
        return names.without_image_suffix(self.name)


def pack(
    inputs: Sequence[str], output: str, *, shard_format: ShardFormat, shard_size: int
) -> Iterator[Packed]:
    """Write `shard-000000.tar` and so on; yields the running totals at least once.

    Images keep their ids as names and the labels that came with them. A shard appears whole or
    not at all. Memory is about that of two shards.

    Args:
        inputs: as `discover` takes them.
        output: folder or URI without shards in it.
        shard_format: `tar` (WebDataset) or `parquet` (the layout of Hugging Face datasets).
        shard_size: bytes of images after which a shard is closed.

    Raises:
        UsageError: no images, or the output has shards already, or cannot be written to.
    """
    folder = Folder(output)
    if any(names.shard_format(file.path) for file in folder.list()):
        raise UsageError(f"{output} has shards already; name an empty folder")
    shards = discover(inputs)
    folder.check_writable()
    totals = Packed()
    for images in _batches(shards, shard_size, totals):
        name = f"shard-{totals.shards:06}.{shard_format}"
        folder.write_bytes(name, (_tar if shard_format == "tar" else _parquet)(images))
        totals.shards += 1
        totals.images += len(images)
        totals.size += sum(len(image.data) for image in images)
        yield totals
    if not totals.shards:
        yield totals


def _batches(shards: Sequence[Shard], shard_size: int, totals: Packed) -> Iterator[list[_Image]]:
    batch: list[_Image] = []
    size = 0
    keys: set[str] = set()
    for image in _images(shards, totals):
        # Two images under one key would be one sample, and share a label.
        if batch and (size >= shard_size or image.key in keys):
            yield batch
            batch, size, keys = [], 0, set()
        batch.append(image)
        size += len(image.data)
        keys.add(image.key)
    if batch:
        yield batch


def _images(shards: Sequence[Shard], totals: Packed) -> Iterator[_Image]:
    for shard in shards:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        rows = zip(
            shard.image_ids(members),
            members["label"].to_pylist(),
            reader.read(shard, members),
            strict=True,
        )
        for name, label, data in rows:
            if isinstance(data, ImageError):
                totals.unread.append(f"{name}: {data}")
            else:
                yield _Image(_named_as_image(name, data), label, data)


def _named_as_image(name: str, data: bytes) -> str:
    """Record formats number their images; in a tar only a suffix tells an image from the rest."""
    if names.is_image(name):
        return name
    return f"{name}.png" if data.startswith(b"\x89PNG") else f"{name}.jpg"


def _tar(images: list[_Image]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for image in images:
            _add(tar, image.name, image.data)
            if image.label and image.label != names.wnid_of_folder(image.name):
                _add(tar, f"{image.key}.cls", image.label.encode())
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
