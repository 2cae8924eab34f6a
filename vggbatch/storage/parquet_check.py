"""What a Parquet file of an output will take in memory, seen before Arrow reads it.

Outputs come from others too, and a file of a few kilobytes may stand for gigabytes: pages that
were compressed, an entry of a dictionary that every row repeats, lists without end. The headers of
all pages are looked at; a file of ten thousand pages takes a second.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.storage.parquet_pages import NoHeaderError, OversizedError, page_header

MAX_FOOTER = 2**26
"""Bytes of a file's footer."""
_FREE = 2**30
"""Bytes that any column of a row group may take in memory."""
_RATIO = 1024
"""More only for so many times the column's own bytes."""
_HEADER = 2**20
"""Bytes of a page's header."""
_FREE_ROWS = 2**24
"""Rows of any file: runs write a million."""
_ROWS_A_BYTE = 64
_LENGTH = 4
"""Bytes in front of each entry of a dictionary of texts."""
_VALUES = (501, 801)
"""Where the headers of data pages of both versions have their number of values."""


def open_checked(file: Any, **options: Any) -> pq.ParquetFile:
    """As `pq.ParquetFile`, for a file of which no row group is out of proportion.

    Raises:
        OversizedError: a part of it would take far more memory than it has bytes.
        pyarrow.ArrowInvalid: it is not Parquet.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = bytes(file.read(8))
    if end[4:] == b"PAR1" and int.from_bytes(end[:4], "little") > MAX_FOOTER:
        raise OversizedError(f"its footer has more than {MAX_FOOTER} bytes")
    file.seek(0)
    opened = pq.ParquetFile(file, page_checksum_verification=True, **options)
    metadata = opened.metadata
    if metadata.num_rows > max(_FREE_ROWS, _ROWS_A_BYTE * size):
        raise OversizedError(f"it says that {size} bytes hold {metadata.num_rows} rows")
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        for number in range(columns.num_columns):
            _check_column(file, size, columns.column(number))
    file.seek(0)
    return opened


def _check_column(file: Any, size: int, column: Any) -> None:
    """Walk the pages of a column in a row group."""
    place = column.data_page_offset
    first = column.dictionary_page_offset
    if first is not None and 0 < first < place:
        place = first
    end = min(size, place + column.total_compressed_size)
    allowed = max(_FREE, _RATIO * max(0, end - place))
    taken = values = longest = 0
    while place < end:
        try:
            length, fields = _header(file, place)
        except NoHeaderError:
            return  # damage, which Arrow reports
        decompressed, stored = fields[2], fields[3]
        taken += decompressed
        values += sum(max(0, fields.get(name, 0)) for name in _VALUES)
        if taken > allowed:
            break
        if 701 in fields and column.physical_type == "BYTE_ARRAY":
            longest = _longest(file, place + length, stored, decompressed, column.compression)
        place += length + stored
    # of a dictionary each value may be the longest entry
    worst = max(values, column.num_values) * max(longest, 4)
    if max(taken, worst) > allowed:
        raise OversizedError(
            f"{column.total_compressed_size} bytes of {column.path_in_schema} would become "
            f"{max(taken, worst)}"
        )


def _header(file: Any, place: int) -> tuple[int, dict[int, int]]:
    """The length of the header of a page, and its fields."""
    for size in (2**10, 2**16, _HEADER):
        file.seek(place)
        data = bytes(file.read(size))
        try:
            return page_header(data)
        except IndexError:
            if len(data) < size:
                break
    raise NoHeaderError


def _longest(file: Any, place: int, stored: int, decompressed: int, codec: str) -> int:
    """Bytes of the longest text in a dictionary."""
    file.seek(place)
    data = bytes(file.read(stored))
    if codec != "UNCOMPRESSED":
        try:
            data = pa.decompress(data, decompressed, codec.lower(), asbytes=True)
        except (pa.ArrowException, OSError, ValueError, TypeError):
            return 0  # damage, which Arrow reports
    longest = place = 0
    while place + _LENGTH <= len(data):
        length = int.from_bytes(data[place : place + _LENGTH], "little")
        longest = max(longest, length)
        place += _LENGTH + length
    return longest
