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
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.errors import UsageError
from vggbatch.storage.filesystem import Folder, arrow_file
from vggbatch.storage.parquet_check import open_checked

_NOTE = b"ARROW:schema"
_MAGIC = b"PAR1"
_LARGEST_FILE = 2**32
"""Bytes of a predictions file in a store; a million rows are some 100 MB."""


@contextmanager
def open_for_arrow(folder: Folder, name: str) -> Iterator[pa.NativeFile]:
    """A file of an output: in parts where it is on a disk, else whole (see `arrow_file`).

    Raises:
        UsageError: in the block, it turns out to be damaged, or to be no file of a run.
    """
    try:
        with (
            pa.OSFile(folder.path(name))
            if folder.local
            else arrow_file(folder.read_bytes(name, _LARGEST_FILE))
        ) as file:
            yield file
    except (ValueError, pa.ArrowException) as error:
        raise _damaged(folder, name, error) from None


@contextmanager
def naming_damage(folder: Folder, name: str) -> Iterator[None]:
    """For a block that reads a predictions file which is open, and nothing else.

    What is damaged between footers is found by the checksums of pages alone, so that the file is
    whole for a reader that compares its size and footer.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk or the store; pyarrow's own for a wrong checksum has no number
        raise _damaged(folder, name, error) from None


def _damaged(folder: Folder, name: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UsageError(
        f"{folder.uri}/{name} is damaged ({reason}): delete this file and repeat the command "
        "that made the output, which scores its images again"
    )


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


def named_rows(
    folder: Folder, name: str, file: pq.ParquetFile, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """As `row_groups`, of a predictions file that is open. Raises UsageError: it is damaged."""
    with naming_damage(folder, name):
        yield from row_groups(file, columns)


def _metadata_without_note(file: Any) -> pq.FileMetaData:
    """The footer without the note."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    footer = file.read(length).replace(_NOTE, _NOTE.lower())
    return pq.read_metadata(arrow_file(_MAGIC + footer + length.to_bytes(4, "little") + _MAGIC))
