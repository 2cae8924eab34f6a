"""Predictions files as Arrow tables with plain lists, those of format 1 too.

Format 1 had lists of a fixed size, of dictionaries. No pyarrow reads such a column where it has
more than some 100,000 rows ("Nested data conversions not implemented for chunked array outputs"),
none before version 26 where it has a null ("Expected all lists to be of size=5 but index 1 had
size=0", apache/arrow, issue 35692). Parquet itself knows plain lists only: both the size and the
dictionary stand in a note to Arrow in the file's footer, and without the note all of them are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.output.parquet_check import open_checked
from vggbatch.storage.filesystem import Folder, arrow_file

_NOTE = b"ARROW:schema"
_MAGIC = b"PAR1"


def open_for_arrow(folder: Folder, name: str) -> pa.NativeFile:
    """A file of an output: in parts where it is on a disk, else whole (see `arrow_file`)."""
    if folder.local:
        return pa.OSFile(folder.path(name))
    return arrow_file(folder.read_bytes(name))


def open_parquet(file: BinaryIO | pa.NativeFile) -> pq.ParquetFile:
    """A predictions or staging file, whose lists are plain lists whatever its format.

    Raises:
        pyarrow.ArrowInvalid: it is not Parquet, or would take far more memory than it has bytes.
    """
    opened = open_checked(file)
    if not any(map(pa.types.is_fixed_size_list, opened.schema_arrow.types)):
        return opened
    metadata = _metadata_without_note(file)
    return open_checked(file, metadata=metadata)


def read_table(file: BinaryIO | pa.NativeFile, columns: list[str] | None = None) -> pa.Table:
    """All rows, or some columns of them."""
    opened = open_parquet(file)
    return pa.concat_tables(list(row_groups(opened, columns)) or [opened.read(columns=columns)])


def row_groups(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file, a row group (some 32 MB) at a time."""
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=columns)


def _metadata_without_note(file: Any) -> pq.FileMetaData:
    """The footer without the note."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    footer = file.read(length).replace(_NOTE, _NOTE.lower())
    return pq.read_metadata(arrow_file(_MAGIC + footer + length.to_bytes(4, "little") + _MAGIC))
