"""Predictions files as Arrow tables, also with a pyarrow that cannot read what it wrote.

Before version 26, the last one with wheels for Python 3.10 among them, pyarrow writes a null in a
column of fixed-size lists correctly but cannot read it: "Expected all lists to be of size=5 but
index 1 had size=0" (apache/arrow, issue 35692). Parquet itself knows lists only; their size stands
in a note to Arrow in the file's footer. Without the note the lists are read as they are, and get
their size here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.pipeline.schema import FEATURE_WIDTH, TOP_K
from vggbatch.storage import Folder, arrow_file

READS_NULLS = int(pa.__version__.partition(".")[0]) >= 26
"""Whether this pyarrow reads a null in a column of fixed-size lists."""

_NOTE = b"ARROW:schema"
_MAGIC = b"PAR1"


def open_for_arrow(folder: Folder, name: str) -> pa.NativeFile:
    """A file of an output: in parts where it is on a disk, else whole (see `arrow_file`)."""
    if folder.local:
        return pa.OSFile(folder.path(name))
    return arrow_file(folder.read_bytes(name))


def open_parquet(file: BinaryIO | pa.NativeFile) -> pq.ParquetFile:
    """A predictions or staging file. Its lists may lack their fixed size, see `read_table`.

    Raises:
        pyarrow.ArrowInvalid: it is not Parquet.
    """
    metadata = None if READS_NULLS else _metadata_without_note(file)
    return pq.ParquetFile(file, metadata=metadata, page_checksum_verification=True)


def read_table(file: BinaryIO | pa.NativeFile, columns: list[str] | None = None) -> pa.Table:
    """All rows, or some columns of them, with the types of `predictions_schema`."""
    opened = open_parquet(file)
    groups = list(row_groups(opened, columns)) or [opened.read(columns=columns)]
    table = pa.concat_tables(groups).unify_dictionaries()
    for number, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            width = FEATURE_WIDTH if field.name == "features" else TOP_K
            lists = _fixed(table.column(number).combine_chunks(), width)
            table = table.set_column(number, pa.field(field.name, lists.type), lists)
    return table


def row_groups(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file, a row group (some 32 MB) at a time.

    Arrow cannot put the nested dictionaries of several groups together while it reads: "Nested data
    conversions not implemented for chunked array outputs".
    """
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=columns)


def _metadata_without_note(file: Any) -> pq.FileMetaData | None:
    """The footer without the note; None where there is no footer."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length + 8 > size:
        return None
    file.seek(size - 8 - length)
    footer = file.read(length).replace(_NOTE, _NOTE.lower())
    return pq.read_metadata(arrow_file(_MAGIC + footer + end))


def _fixed(lists: pa.ListArray, width: int) -> pa.FixedSizeListArray:
    """Lists that are null or of `width` values as what they were when they were written."""
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    place = np.full((len(lists), width), -1, np.int64)
    place[valid] = np.arange(valid.sum() * width).reshape(-1, width)
    indices = pa.array(place.reshape(-1), mask=place.reshape(-1) < 0)
    values = lists.drop_null().flatten().take(indices)
    if pa.types.is_string(values.type):
        values = values.dictionary_encode()
    return pa.FixedSizeListArray.from_arrays(
        values, type=pa.list_(values.type, width), mask=pa.array(~valid)
    )
