"""Parquet files that hold image bytes, as Hugging Face datasets does, read a few rows at a time."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from types import MappingProxyType
from typing import Any, BinaryIO
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch import uris
from vggbatch.config import ColumnOptions
from vggbatch.errors import ImageError
from vggbatch.sources.base import Layout, Member, Reader, Shard, as_error, too_large
from vggbatch.sources.names import printable
from vggbatch.sources.tables import columns
from vggbatch.sources.tables.columns import Reading
from vggbatch.sources.tables.dialect import is_file
from vggbatch.sources.tables.image_columns import (
    LIST,
    ImageColumn,
    absent,
    choose,
    first_rows,
    image_columns,
    leaf,
    named,
    path_beside,
    values_of,
)
from vggbatch.storage import contact
from vggbatch.storage.complete import ShortRead
from vggbatch.storage.parquet_pages import GuardedFile, batches, open_guarded, places_of
from vggbatch.storage.ranges import Range, open_binary, read_ranges
from vggbatch.storage.stores import StoreError
from vggbatch.storage.stream import RemoteFile

_ROWS = 16
"""Rows decoded at a time, about 2 MB of ImageNet."""
_IN_A_ROW = 2**20
"""More images than a row has: a member's offset is its row times this, and its place in a list."""
_TOGETHER = 64
"""Files that rows name in place of bytes, read side by side."""
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_SAMPLE = 1000
"""Rows by which a column of labels is chosen."""
_LONGEST_NAME = 2**16
"""Characters of a name and its label."""
_TEXT_BYTES = 2**26
"""Characters of names and labels that any file may have, beside 16 for each of its bytes."""


def layout(
    schema: pa.Schema,
    options: ColumnOptions | None = None,
    first_rows: Callable[[ImageColumn], list[Any]] = lambda column: [],
) -> Layout | None:
    """Where the images are, or None if the file holds none; the label is chosen by `label_of`.

    Args:
        schema: of the file.
        options: may name the column.
        first_rows: some values of a column, by which one is chosen where several may hold images.

    Raises:
        ValueError: several columns hold images, and none is named; or the one that is named is not
            there.
    """
    options = options or ColumnOptions()
    candidates = image_columns(schema)
    if options.bytes is not None:
        image = named(candidates, options.bytes)
        if image is None and candidates:
            raise ValueError(absent(options.bytes, [column.title for column in candidates]))
    else:
        image = choose(candidates, first_rows)
    if image is None:
        return None
    others = [field.name for field in schema if not f"{image.path}.".startswith(f"{field.name}.")]
    name = image.name or (None if image.in_lists else columns.find(others, columns.FILE))
    return Layout(image.path, name if options.file is None else options.file, None)


def label_of(file: GuardedFile, found: Layout, reading: Reading) -> str | None:
    """The column with the labels of the images, by its first rows and its name.

    Raises:
        ValueError: two columns fit that mean different classes.
    """
    schema = file.schema_arrow
    skipped = {found.image.split(".")[0], found.name, *columns.row_numbers(schema)}
    wanted = [f.name for f in schema if columns.is_plain(f.type) and f.name not in skipped]
    if not wanted or not reading.labels:
        return None
    batch = next(batches(file, wanted, _SAMPLE), None)
    if batch is None:
        return None
    own = columns.class_names(schema)
    texts = {
        name: [
            columns.label_text("" if value is None else str(value), own.get(name))
            for value in batch[name].to_pylist()
        ]
        for name in wanted
    }
    if own.keys() & texts.keys() and reading.columns.label is None:
        # the metadata says which columns are classes
        texts = {name: cells for name, cells in texts.items() if name in own}
        if len(texts) == 1:
            [only] = texts
            return str(only)
    return columns.label_column(columns.Table(texts), None, reading)


def usual_label(schema: pa.Schema, reading: Reading) -> str | None:
    """The column with the labels by its name alone, for a file whose rows cannot be read."""
    if not reading.labels or reading.columns.label is not None:
        return reading.columns.label if reading.labels else None
    plain = [field.name for field in schema if columns.is_plain(field.type)]
    return columns.find(plain, (*columns.SYNSET, *columns.INDEX))


class ParquetReader(Reader):
    """Images in a Parquet column. A member's `offset` is its row, its size unknown.

    Of images in lists, `offset` is as `_IN_A_ROW` says.
    """

    format = "parquet"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member]:
        """Yield one member a row, named by its path or its number; the images stay unread."""
        row = group = 0
        try:
            size = file.seek(0, os.SEEK_END)
            parquet = open_guarded(file, size, page_checksum_verification=True)
            ends = _ends(parquet.metadata)
            found = shard.layout or _required_layout(parquet)
            names_of = columns.class_names(parquet.schema_arrow)
            own = names_of.get(found.label or "")
            partition = None if found.label else partition_label(shard.uri, names_of)
            # where images lie in lists, these say how many a row has
            listed = (found.name or found.image) if LIST in found.image else None
            wanted = [leaf(parquet, path) for path in (listed or found.name, found.label) if path]
            budget = _TEXT_BYTES + 16 * size
            most = _ROWS if listed == found.image else 4096
            if isinstance(file, RemoteFile):
                groups = range(parquet.num_row_groups)
                file.expect(p for g in groups for p in places_of(parquet.metadata, g, wanted))
            for batch in batches(parquet, wanted, most):
                names = _values(batch, listed or found.name)
                labels = _values(batch, found.label)
                for name, label in zip(names, labels, strict=True):
                    text = partition
                    if label is not None:
                        text = columns.label_text(str(label), own)
                    while row >= ends[group]:
                        group += 1
                    for member in _of_row(name, row, text, group, listed=bool(listed)):
                        length = len(member.name) + len(text or "")
                        budget -= length
                        if budget < 0 or length > _LONGEST_NAME:
                            raise ImageError("bad_shard", f"row {row} has a name or label too long")
                        yield member
                    row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damage(error) from None

    def read(
        self, shard: Shard, members: pa.Table, max_bytes: int = 2**62
    ) -> Iterator[bytes | ImageError]:
        """The image bytes of members. In rising order, also from call to call, rows are read once.

        A row group is read from its start up to the rows that are wanted: its pages do not say
        where they begin. Memory is that of a few pages and what is read ahead. A row without bytes
        that names a file is that file, wherever a manifest could name it (see uris.py).
        """
        files: list[Range | ImageError] = []
        for row in members.select(["offset", "error"]).to_pylist():
            data = as_error(row["error"]) if row["error"] else _image(shard, row["offset"])
            if isinstance(data, Range):
                files.append(data)
            if files and (len(files) == _TOGETHER or not isinstance(data, Range)):
                yield from _files(files, max_bytes)
                files = []
            if isinstance(data, bytes) and len(data) > max_bytes:
                yield too_large(len(data), max_bytes)
            elif not isinstance(data, Range):
                yield data
        yield from _files(files, max_bytes)


def _files(named: Sequence[Range | ImageError], max_bytes: int) -> Iterator[bytes | ImageError]:
    """What is in files that rows name."""
    for data in read_ranges(named, max_bytes):
        yield data if isinstance(data, ImageError) else bytes(data)


def _image(shard: Shard, offset: int) -> bytes | Range | ImageError:
    """The bytes of an image, or the file that its row names in their place."""
    try:
        cursor = _cursor(shard)
        data = cursor.value(offset)
        if data is not None:
            return bytes(data)
        path = _cursor(shard, cursor.paths).value(offset) if cursor.paths else None
        if not path or not isinstance(path, str) or not (cursor.beside or is_file(path)):
            return ImageError("missing", "the row has no image bytes")
        if not shard.follows:
            return ImageError("refused", "the row names a file, and none is followed here")
        source = uris.named_by(shard.uri, path)
        reason = None
        if contact.store_name(source) != contact.store_name(shard.uri):
            reason = contact.why_unreachable(source)
        return ImageError("store", reason) if reason else Range(source, 0, -1, whole=True)
    except uris.Refused as error:
        return ImageError("refused", printable(str(error)))
    except ImageError as error:
        return error


class _Cursor:
    """A place in a Parquet file, so that the next chunk continues where the last one ended.

    Args:
        shard: the file.
        column: which column is read; None: that of the images.
    """

    def __init__(self, shard: Shard, column: str | None = None) -> None:
        self.shard = shard
        self.column = column
        try:
            self._opened = open_binary(shard.uri, shard.size)
            size = self._opened.seek(0, os.SEEK_END)
            self._file = open_guarded(self._opened, size, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise _damage(error) from None
        found = shard.layout or _required_layout(self._file)
        self._image = column or found.image
        beside = path_beside(self._file.schema_arrow, found.image)
        self.beside = beside is not None
        """Whether the struct of the bytes has a path; any other name may be a mere name."""
        self.paths = beside or found.name
        """The column with the names of files."""
        self._leaf = leaf(self._file, self._image)
        self._starts = [0, *_ends(self._file.metadata)]
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._first = 0
        self._values = pa.array([], pa.binary())
        self._failed: dict[int, ImageError] = {}

    def value(self, offset: int) -> Any:
        """What the column has for a member. Raises ImageError where the file is damaged."""
        if LIST not in self._image:
            return self.read(offset)
        images = self.read(offset // _IN_A_ROW) or []
        number = offset % _IN_A_ROW
        return images[number] if number < len(images) else None

    def read(self, row: int) -> Any:
        """The value of a row, or its list. Raises ImageError where the file is damaged."""
        group = bisect_right(self._starts, row) - 1
        if group >= len(self._starts) - 1:
            raise ImageError("bad_shard", f"the Parquet file has no row {row} any more")
        if group in self._failed:
            raise self._failed[group]
        try:
            self._seek(group, row)
        except (pa.ArrowException, OSError) as error:
            self._group = -1
            self._failed[group] = _damage(error)
            raise self._failed[group] from None
        return self._values[row - self._first].as_py()

    def _seek(self, group: int, row: int) -> None:
        if group != self._group or row < self._first:
            self._group = group
            if isinstance(self._opened, RemoteFile):
                self._opened.expect(places_of(self._file.metadata, group, [self._leaf]))
            self._batches = self._file.batches_of(group, [self._leaf], _ROWS)
            self._first = self._starts[group]
            self._values = pa.array([], pa.binary())
        while row >= self._first + len(self._values):
            self._first += len(self._values)
            batch = next(self._batches, None)
            if batch is None:
                raise pa.ArrowInvalid(f"row group {group} ends before row {row}")
            self._values = values_of(batch, self._image)


_cursors = threading.local()


def _cursor(shard: Shard, column: str | None = None) -> _Cursor:
    """This thread's cursor: one, so that memory does not grow with the number of shards.

    One more for the names of files beside the images, which few files need.
    """
    slot = "images" if column is None else "paths"
    cursor: _Cursor | None = getattr(_cursors, slot, None)
    if cursor is None or (cursor.shard, cursor.column) != (shard, column):
        setattr(_cursors, slot, None)
        cursor = _Cursor(shard, column)
        setattr(_cursors, slot, cursor)
    return cursor


def _required_layout(file: GuardedFile) -> Layout:
    """The columns of a file that was not looked into before."""
    try:
        found = layout(file.schema_arrow, None, partial(first_rows, file))
        if found is None:
            raise ImageError("bad_shard", "the Parquet file has no column with image bytes")
        return replace(found, label=label_of(file, found, Reading()))
    except ValueError as error:
        raise ImageError("bad_shard", str(error)) from None


def _ends(metadata: pq.FileMetaData) -> list[int]:
    """The row after each row group's last."""
    groups = range(metadata.num_row_groups)
    return list(accumulate(metadata.row_group(group).num_rows for group in groups))


def _of_row(
    value: Any, row: int, label: str | None, group: int, *, listed: bool
) -> Iterator[Member]:
    """The image of a row by its name, or the images in its list, an error where there is none."""
    if not listed:
        yield Member(str(value or f"{row:08}"), row, -1, label, run=group)
        return
    if not value:
        error = ImageError("missing", "the row has no image")
        yield Member(f"{row:08}", 0, 0, label, error=str(error), run=group)
    for number, name in enumerate(value or ()):
        known = name if isinstance(name, str) and name else f"{row:08}/{number}"
        yield Member(known, row * _IN_A_ROW + number, -1, label, run=group)


def partition_label(
    uri: str, own: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> str | None:
    """The label that a folder of a Hive partition says: `.../label=n01440764/part-0.parquet`.

    Args:
        uri: of the file.
        own: the data set's own classes by column, which an index counts.
    """
    for part in reversed(uri.split("/")[:-1]):
        key, equals, value = part.partition("=")
        if equals and key.lower() in (*columns.SYNSET, *columns.INDEX):
            text = unquote(value)
            return None if text in ("", _NO_PARTITION) else columns.label_text(text, own.get(key))
    return None


def _values(batch: pa.RecordBatch, path: str | None) -> list[Any]:
    values: list[Any] = values_of(batch, path).to_pylist() if path else [None] * batch.num_rows
    return values


def _damage(error: Exception) -> ImageError:
    """Arrow raises OSError without a number for damaged content; others come from the store."""
    if isinstance(error, ShortRead):
        return ImageError("truncated", str(error))
    if isinstance(error, OSError) and (isinstance(error, StoreError) or error.errno is not None):
        raise error
    return ImageError("bad_shard", f"Parquet damaged: {error}")
