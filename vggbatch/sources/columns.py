"""Tables of images or labels as text: delimiters, headers, and columns by the names in use."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.sources.names import WNID, suffix
from vggbatch.storage import arrow_file

FILE = (
    *("file", "filename", "file_name", "image", "image_id", "imageid", "path", "filepath"),
    *("file_path", "image_path", "uri", "url", "image_url", "source", "key", "name"),
)
SYNSET = ("wnid", "synset", "class", "synset_id")
INDEX = ("class_index", "label", "index", "target", "class_id", "label_index", "y")


def find(header: Iterable[str], names: Sequence[str]) -> str | None:
    """The column of a header that goes by one of the names, the first name first."""
    by_name = {column.strip().lower(): column for column in header}
    return next((by_name[name] for name in names if name in by_name), None)


@dataclass(frozen=True)
class Table:
    """A delimited text, column by column."""

    columns: dict[str, list[str]]

    def column(self, names: Sequence[str]) -> list[str] | None:
        """The column that goes by one of the names."""
        name = find(self.columns, names)
        return None if name is None else self.columns[name]


def read(data: bytes, name: str) -> Table:
    """Read a file of delimited text, or of Parquet if its name ends so; null becomes "".

    Raises:
        ValueError: it is neither, or not well-formed.
    """
    if suffix(name) != "parquet":
        try:
            return parse(data.decode())
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text") from None
    try:
        parquet = pq.ParquetFile(arrow_file(data))
        header = parquet.schema_arrow.names
        wanted = [found for known in (FILE, SYNSET, INDEX) if (found := find(header, known))]
        table = parquet.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"not a Parquet file: {error}") from None
    return Table(
        {
            column: ["" if value is None else str(value) for value in table[column].to_pylist()]
            for column in table.column_names
        }
    )


def parse(text: str) -> Table:
    """Read CSV, TSV or space-separated text, with a header or without.

    A first line is a header if it names a file column. Without one, the first field is the file
    and the second, if there is one, the label.

    Raises:
        ValueError: it is no CSV, or a row has more fields than the header.
    """
    text = text.removeprefix("\ufeff")
    first = text.split("\n", 1)[0]
    if "\t" in first or "," in first:
        delimiter = "\t" if "\t" in first else ","
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        except csv.Error as error:
            raise ValueError(f"not CSV: {error}") from None
    else:
        rows = [_split_label(line.strip()) for line in text.splitlines() if line.strip()]
    header = ["file", "label"]
    if rows and find(rows[0], FILE) is not None:
        header, rows = rows[0], rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) > len(header):
            raise ValueError(f"row {number} has {len(row)} fields, not {len(header)}")
    width = max((len(row) for row in rows), default=0)
    columns = {
        name: [row[i].strip() if i < len(row) else "" for row in rows]
        for i, name in enumerate(header[: max(width, 1)])
    }
    return Table(columns)


def _split_label(line: str) -> list[str]:
    """A file and its label; the label is the last word, as file names may hold spaces."""
    words = line.rsplit(maxsplit=1)
    is_label = len(words) == 2 and (
        words[1].lstrip("-").isdecimal()
        or WNID.fullmatch(words[1])
        or words[1].lower() in INDEX + SYNSET
    )
    return words if is_label else [line]
