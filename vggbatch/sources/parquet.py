"""Parquet files that hold image bytes, as Hugging Face datasets does, read a few rows at a time."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vggbatch.config import ColumnOptions
from vggbatch.errors import ImageError
from vggbatch.sources import columns
from vggbatch.sources.base import Layout, Member, Reader, Shard, as_error, too_large
from vggbatch.sources.columns import Reading
from vggbatch.sources.complete import ShortRead
from vggbatch.sources.parquet_pages import batches, open_guarded, rows_at_once
from vggbatch.sources.ranges import open_binary
from vggbatch.sources.stores import StoreError
from vggbatch.sources.stream import RemoteFile

_IMAGE = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "content", "data")
_ROWS = 16
"""Rows decoded at a time, about 2 MB of ImageNet."""
_BUFFER = 2**20
"""Bytes read ahead in a column chunk."""
_SAMPLE = 1000
"""Rows by which a column of labels is chosen."""
_LONGEST_NAME = 2**16
"""Characters of a name and its label."""
_TEXT_BYTES = 2**26
"""Characters of names and labels that any file may have, beside 16 for each of its bytes."""


def layout(schema: pa.Schema, options: ColumnOptions | None = None) -> Layout | None:
    """Where the images are, or None if the file holds none; the label is chosen by `label_of`.

    A column with a usual name that is binary, or a struct with the fields `bytes` and `path`
    (datasets.Image); failing that, the only column that is either.
    """
    options = options or ColumnOptions()
    candidates = [path for field in schema if (path := _image_path(field))]
    by_name = {path.removesuffix(".bytes").lower(): path for path in candidates}
    image = next((by_name[name] for name in _IMAGE if name in by_name), None)
    if image is None and len(candidates) == 1:
        image = candidates[0]
    if options.bytes is not None:
        image = by_name.get(options.bytes.lower())
    if image is None:
        return None
    others = [field.name for field in schema if field.name != image.removesuffix(".bytes")]
    name = columns.find(others, columns.FILE)
    if image.endswith(".bytes"):
        name = f"{image.removesuffix('.bytes')}.path"
    if options.file is not None:
        name = options.file
    return Layout(image, name, None)


def label_of(file: pq.ParquetFile, found: Layout, reading: Reading) -> str | None:
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


def _image_path(field: pa.Field) -> str | None:
    if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return str(field.name)
    if pa.types.is_struct(field.type) and {"bytes", "path"} <= {f.name for f in field.type}:
        return f"{field.name}.bytes"
    return None


class ParquetReader(Reader):
    """Images in a Parquet column. A member's `offset` is its row, its size unknown."""

    format = "parquet"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member]:
        """Yield one member a row, named by its path or its number; the images stay unread."""
        row = group = 0
        try:
            size = file.seek(0, os.SEEK_END)
            parquet = open_guarded(file, size, page_checksum_verification=True)
            ends = _ends(parquet.metadata)
            found = shard.layout or _required_layout(parquet)
            own = columns.class_names(parquet.schema_arrow).get(found.label or "")
            wanted = [column for column in (found.name, found.label) if column]
            budget = _TEXT_BYTES + 16 * size
            for batch in batches(parquet, wanted):
                names = _values(batch, found.name)
                labels = _values(batch, found.label)
                for name, label in zip(names, labels, strict=True):
                    text = None if label is None else columns.label_text(str(label), own)
                    name = str(name or f"{row:08}")
                    budget -= len(name) + len(text or "")
                    if budget < 0 or len(name) + len(text or "") > _LONGEST_NAME:
                        raise ImageError("bad_shard", f"row {row} has a name or label too long")
                    while row >= ends[group]:
                        group += 1
                    yield Member(name, row, -1, text, run=group)
                    row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damage(error) from None

    def read(
        self, shard: Shard, members: pa.Table, max_bytes: int = 2**62
    ) -> Iterator[bytes | ImageError]:
        """The image bytes of members. In rising order, also from call to call, rows are read once.

        A row group is read from its start up to the rows that are wanted: its pages do not say
        where they begin. Memory is that of a few pages and what is read ahead.
        """
        for row in members.select(["offset", "error"]).to_pylist():
            if row["error"]:
                yield as_error(row["error"])
                continue
            try:
                data = _cursor(shard).read(row["offset"])
            except ImageError as error:
                yield error
                continue
            if data is None:
                yield ImageError("missing", "the row has no image bytes")
            elif len(data) > max_bytes:
                yield too_large(len(data), max_bytes)
            else:
                yield data


class _Cursor:
    """A place in a Parquet file, so that the next chunk goes on where the last one ended."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        try:
            self._opened = open_binary(shard.uri, shard.size)
            size = self._opened.seek(0, os.SEEK_END)
            self._file = open_guarded(
                self._opened, size, buffer_size=_BUFFER, page_checksum_verification=True
            )
        except (pa.ArrowException, OSError) as error:
            raise _damage(error) from None
        self._image = (shard.layout or _required_layout(self._file)).image
        self._starts = [0, *_ends(self._file.metadata)]
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._first = 0
        self._values = pa.array([], pa.binary())
        self._failed: dict[int, ImageError] = {}

    def read(self, row: int) -> bytes | None:
        """The image bytes of a row. Raises ImageError where the file is damaged."""
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
        data: bytes | None = self._values[row - self._first].as_py()
        return data

    def _seek(self, group: int, row: int) -> None:
        if group != self._group or row < self._first:
            self._group = group
            if isinstance(self._opened, RemoteFile):
                self._opened.expect(*self._bytes_of(group))
            rows = rows_at_once(self._file.metadata, group, [self._image], _ROWS)
            self._batches = self._file.iter_batches(rows, row_groups=[group], columns=[self._image])
            self._first = self._starts[group]
            self._values = pa.array([], pa.binary())
        while row >= self._first + len(self._values):
            self._first += len(self._values)
            batch = next(self._batches, None)
            if batch is None:
                raise pa.ArrowInvalid(f"row group {group} ends before row {row}")
            self._values = _array(batch, self._image)

    def _bytes_of(self, group: int) -> tuple[int, int]:
        """Where the images of a row group lie in the file."""
        columns = self._file.metadata.row_group(group)
        found = map(columns.column, range(columns.num_columns))
        column = next((c for c in found if c.path_in_schema == self._image), None)
        if column is None:
            return 0, 0  # a damaged footer, which Arrow will say itself
        start = column.dictionary_page_offset or column.data_page_offset
        return start, start + column.total_compressed_size


_cursors = threading.local()


def _cursor(shard: Shard) -> _Cursor:
    """This thread's cursor: one, so that memory does not grow with the number of shards."""
    cursor: _Cursor | None = getattr(_cursors, "last", None)
    if cursor is None or cursor.shard != shard:
        _cursors.last = None
        cursor = _cursors.last = _Cursor(shard)
    return cursor


def _required_layout(file: pq.ParquetFile) -> Layout:
    """The columns of a file that was not looked into before."""
    found = layout(file.schema_arrow)
    if found is None:
        raise ImageError("bad_shard", "the Parquet file has no column with image bytes")
    try:
        return replace(found, label=label_of(file, found, Reading()))
    except ValueError as error:
        raise ImageError("bad_shard", str(error)) from None


def _ends(metadata: pq.FileMetaData) -> list[int]:
    """The row after each row group's last."""
    groups = range(metadata.num_row_groups)
    return list(accumulate(metadata.row_group(group).num_rows for group in groups))


def _array(batch: pa.RecordBatch, path: str) -> pa.Array:
    column, *fields = path.split(".")
    return pc.struct_field(batch.column(column), fields) if fields else batch.column(column)


def _values(batch: pa.RecordBatch, path: str | None) -> list[Any]:
    values: list[Any] = _array(batch, path).to_pylist() if path else [None] * batch.num_rows
    return values


def _damage(error: Exception) -> ImageError:
    """Arrow raises OSError without a number for damaged content; others come from the store."""
    if isinstance(error, ShortRead):
        return ImageError("truncated", str(error))
    if isinstance(error, OSError) and (isinstance(error, StoreError) or error.errno is not None):
        raise error
    return ImageError("bad_shard", f"Parquet damaged: {error}")
