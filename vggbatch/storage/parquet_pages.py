"""What a Parquet file will take in memory, seen before Arrow decompresses it.

A footer may say anything. What counts stands in front of each page: how many bytes it has, and how
many once it is decompressed. `PageGuard` passes on what Arrow reads, looks at the headers of pages
as they come by, and raises before Arrow gets a page that would become far more than it is. Nothing
is read for that which Arrow does not read anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.storage.stream import RemoteFile, Seekable

_Data = TypeVar("_Data", bytes, memoryview)

_PAGE = 2**25
"""Bytes of a decompressed page that are always taken."""
_RATIO = 64
"""A larger page has no more than so many times its bytes: images hardly shrink."""
_LARGEST_PAGE = 2**30
_TEXT = 2**26
"""Bytes of names or labels in a row group that are always taken; more by the same ratio."""
_HEADER = 2**20
"""Bytes of a page's header, which may hold statistics."""
_FOOTER = 2**24
_CONTAINERS = 2**16
"""Row groups, and columns of one."""
_BEHIND = 100
"""Bytes behind a column that Arrow reads as well, for files by one old writer."""
_SMALL_DICTIONARY = 2**14
"""Bytes of a dictionary that are taken whatever the footer says."""
_FREE_ROWS = 2**16
"""Rows that any file may have; see `open_guarded`."""
_WHOLE = 2**25
"""Bytes of a row group that are read at once. Most have less, as often as not in a single page."""
_BUFFER = 2**18
"""Bytes read ahead in a column of more: two or three images, so that the first is soon there."""
_LIMITS = {"thrift_string_size_limit": _FOOTER, "thrift_container_size_limit": _CONTAINERS}


class OversizedError(pa.ArrowInvalid):  # type: ignore[misc]
    """A Parquet file that would take far more memory than it has bytes."""


class GuardedFile(pq.ParquetFile):  # type: ignore[misc]
    """A Parquet file whose pages are looked at as they are read (see `open_guarded`).

    Args:
        guard: the file.
        options: of `pq.ParquetFile`.
    """

    def __init__(self, guard: PageGuard, **options: Any) -> None:
        super().__init__(guard, **_LIMITS, **options)
        self._guard = guard
        self._options = options

    def batches_of(
        self, group: int, columns: Collection[str], most: int
    ) -> Iterator[pa.RecordBatch]:
        """Some columns of a row group, at most so many rows at a time.

        Arrow would read the group's whole columns before it gives a row, however large they are.
        """
        file = self
        places = places_of(self.metadata, group, columns)
        if sum(end - start for start, end in places) > _WHOLE:
            options = {"pre_buffer": False, "buffer_size": _BUFFER, **self._options}
            file = GuardedFile(self._guard, metadata=self.metadata, **options)
        rows = rows_at_once(self.metadata, group, columns, most)
        # Python's memory, which Arrow's own threads would let go of too late (see `arrow_file`)
        yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def open_guarded(
    file: BinaryIO, size: int, *, rows_a_byte: float = 1 / 32, **options: Any
) -> GuardedFile:
    """Open a Parquet file whose pages are looked at as they are read.

    Args:
        file: the file.
        size: its bytes.
        rows_a_byte: more rows for each byte, beside the first 65,536, are not believed. The least
            that is an image has 32 bytes.
        options: of `pq.ParquetFile`.

    Raises:
        OversizedError: the footer is too large, or says that there are more rows than can be.
        pyarrow.ArrowException, OSError: as `pq.ParquetFile`.
    """
    file.seek(max(0, size - 8))
    end = file.read(8)
    if end[4:] == b"PAR1" and int.from_bytes(end[:4], "little") > _FOOTER:
        raise OversizedError(f"its footer has more than {_FOOTER} bytes")
    guard = PageGuard(file, size)
    opened = GuardedFile(guard, **options)
    rows = opened.metadata.num_rows
    if rows > _FREE_ROWS + size * rows_a_byte:
        raise OversizedError(f"it says that {size} bytes hold {rows} rows")
    guard.watch(opened.metadata)
    return opened


def rows_at_once(metadata: pq.FileMetaData, group: int, paths: Collection[str], most: int) -> int:
    """Rows of a row group to decode at a time.

    Each may be an entry of a dictionary, as large as the dictionary at worst.
    """
    columns = metadata.row_group(group)
    worst = 1
    for number in range(columns.num_columns):
        column = columns.column(number)
        if column.has_dictionary_page and _named(column.path_in_schema, paths):
            worst = max(worst, min(_largest_dictionary(column), _LARGEST_PAGE))
    return max(1, min(most, 2 * _TEXT // worst))


def _largest_dictionary(column: Any) -> int:
    """Bytes that the dictionary of a column in a row group may have; PageGuard sees to it.

    Arrow does not count one that is not compressed among the decompressed bytes.
    """
    return int(max(column.total_uncompressed_size, column.total_compressed_size))


def places_of(
    metadata: pq.FileMetaData, group: int, columns: Collection[str]
) -> list[tuple[int, int]]:
    """Where columns of a row group lie in the file: the first byte of each and that after it."""
    row_group = metadata.row_group(group)
    found = (row_group.column(number) for number in range(row_group.num_columns))
    return [
        (start, start + column.total_compressed_size)
        for column in found
        if _named(column.path_in_schema, columns)
        for start in [_start(column)]
    ]


def _start(column: Any) -> int:
    """Where the first page of a column in a row group lies."""
    first, start = column.dictionary_page_offset, column.data_page_offset
    return int(first if first is not None and 0 < first < start else start)


def batches(file: GuardedFile, columns: list[str], most: int = 4096) -> Iterator[pa.RecordBatch]:
    """Some columns of all rows, at most so many rows at a time."""
    for group in range(file.num_row_groups):
        yield from file.batches_of(group, columns, most)


def _named(path: str, paths: Collection[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in paths)


class PageGuard(Seekable):
    """Reads as the file does, and raises OversizedError at a page that is none to be read.

    Args:
        file: a Parquet file.
        size: its bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(size)
        self._file = file
        self._starts: dict[int, list[_Pages]] = {}
        """Chunks of columns by the place that they begin at."""
        self._active: list[_Pages] = []
        self._lock = threading.Lock()
        self._watched = False

    def watch(self, metadata: pq.FileMetaData) -> None:
        """Look at pages from now on; before that only the footer is read."""
        self._watched = True
        schema = [metadata.schema.column(number) for number in range(metadata.num_columns)]
        text = [
            column.physical_type != "BYTE_ARRAY" or column.converted_type == "UTF8"
            for column in schema
        ]
        for group in range(metadata.num_row_groups):
            columns = metadata.row_group(group)
            for number in range(columns.num_columns):
                column = columns.column(number)
                start = _start(column)
                declared = _largest_dictionary(column)
                end = min(self.size, start + column.total_compressed_size + _BEHIND)
                self._starts.setdefault(start, []).append(
                    _Pages(start, end, text[number], declared)
                )

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises OversizedError, OSError."""
        return self._passed_on(self._file.read, size)

    def read_buffer(self, size: int | None = -1) -> bytes | memoryview:
        """As `read`, without a copy where the file knows how. For Arrow."""
        if isinstance(self._file, RemoteFile):
            return self._passed_on(self._file.read_buffer, size)
        return self._passed_on(self._file.read, size)

    def _passed_on(self, read: Callable[[int], _Data], size: int | None) -> _Data:
        size = self.size - self._position if size is None or size < 0 else size
        with self._lock:
            place = self._position
            self._file.seek(place)
            data = read(size)
            self._position += len(data)
            if self._watched and data:
                self._look(place, data)
        return data

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()

    def _look(self, place: int, data: bytes | memoryview) -> None:
        begun = [_Pages(p.start, p.end, p.text, p.declared) for p in self._starts.get(place, ())]
        going = [pages for pages in self._active if pages.place == place]
        if not begun and not going:
            raise OversizedError(f"it is read out of order, at byte {place}")
        for pages in (*begun, *going):
            pages.take(memoryview(data))
        # what is begun again takes the place of what was left in the middle
        going = [pages for pages in self._active if not begun or pages.start != place]
        self._active = [pages for pages in (*going, *begun) if pages.place < pages.end]


class _Pages:
    """The pages of a column in one row group, as their bytes come by."""

    def __init__(self, start: int, end: int, text: bool, declared: int) -> None:
        self.start = self.place = start
        """Of the first byte and of the next."""
        self.end = end
        self.text = text
        self.declared = declared
        """Bytes of its dictionary at most, by the footer: `rows_at_once` goes by them."""
        self._inside = 0
        """Bytes that are left of the page at hand."""
        self._header = b""
        """What has come of the next header."""
        self._sizes = [0, 0]
        """Decompressed and stored, of all pages so far."""

    def take(self, data: memoryview) -> None:
        self.place += len(data)
        while len(data):
            if self._inside:
                taken = min(self._inside, len(data))
                self._inside -= taken
                data = data[taken:]
                continue
            known = len(self._header)
            head = self._header + bytes(data[:_HEADER])
            try:
                length, fields = page_header(head)
            except IndexError:
                if len(head) >= _HEADER:
                    raise OversizedError("the header of a page is too long") from None
                self._header = head
                data = data[_HEADER:]
                continue
            except NoHeaderError:
                # the bytes that an old writer's column is followed by, or damage that Arrow reports
                self._inside = max(0, self.end - self.place) + len(data)
                continue
            stored, entries = fields[3], max(0, fields.get(701, 0))
            self._check(fields[2], stored, entries)
            # what is read past the end of a column is the next one's
            ours = self.place - len(data) - known < self.end - _BEHIND
            if ours and entries and fields[2] > max(self.declared, _SMALL_DICTIONARY):
                raise OversizedError(
                    f"a column of {self.declared} bytes has a dictionary of {fields[2]}"
                )
            self._header = b""
            self._inside = stored
            data = data[length - known :]

    def _check(self, size: int, stored: int, entries: int) -> None:
        self._sizes = [self._sizes[0] + size, self._sizes[1] + stored]
        if size > _PAGE and not size <= min(_LARGEST_PAGE, _RATIO * stored):
            raise OversizedError(f"a page of {stored} bytes would become {size}")
        if entries > size:
            raise OversizedError(f"a dictionary of {size} bytes cannot have {entries} entries")
        total, come = self._sizes
        if self.text and total > _TEXT and total > _RATIO * come:
            raise OversizedError(f"{come} bytes of names would become {total}")


class NoHeaderError(Exception):
    """Bytes that are no page header."""


_STRUCT_DEPTH = 8


def page_header(data: bytes) -> tuple[int, dict[int, int]]:
    """Length of a page header, and its integers by number, those of structures inside times 100.

    It is a structure of Thrift's compact protocol (parquet.thrift, PageHeader): 2 is the bytes of
    the page decompressed, 3 those that are stored, 701 the entries of a dictionary.

    Raises:
        IndexError: there is more of it to come.
        NoHeaderError: it is none.
    """
    fields: dict[int, int] = {}
    place = _structure(data, 0, fields, 0)
    if min(fields.get(2, -1), fields.get(3, -1)) < 0:
        raise NoHeaderError
    return place, fields


def _structure(data: bytes, place: int, fields: dict[int, int], inside: int) -> int:
    """Where a structure ends; its integers by number, those of structures inside times 100."""
    if inside > 100**_STRUCT_DEPTH:
        raise NoHeaderError
    number = 0
    while True:
        byte = data[place]
        place += 1
        kind, step = byte & 15, byte >> 4
        if kind == 0:
            return place
        if step:
            number += step
        else:
            raw, place = _varint(data, place)
            number = _signed(raw)
        place = _value(data, place, kind, fields, 100 * inside + abs(number) % 100)


def _value(data: bytes, place: int, kind: int, fields: dict[int, int], number: int) -> int:
    if kind in (1, 2):  # a boolean, which is its type
        return place
    if kind == 3:
        return place + 1
    if kind in (4, 5, 6):
        raw, place = _varint(data, place)
        fields.setdefault(number, _signed(raw))
        return place
    if kind == 7:
        return place + 8
    if kind == 8:
        length, place = _varint(data, place)
        if place + length > len(data):
            raise IndexError
        return place + length
    if kind == 12:
        return _structure(data, place, fields, number)
    raise NoHeaderError  # no page header has lists or maps


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise NoHeaderError


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
