"""Tables of images or labels, and which of their columns hold what: by content, then by name.

A column of files is one whose cells are files. A column of classes is one whose cells are WordNet
ids or names of the network's classes; integers are classes only in a column that is named like it,
for widths and folds are integers as well, and so are the row numbers that pandas writes. Where two
columns fit that do not say the same, the table is refused.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from vggbatch import json_text, text_file
from vggbatch.config import ColumnOptions
from vggbatch.preprocess.content import HEAD, recognize
from vggbatch.sources.classes import (
    Classes,
    as_integer,
    identified,
    is_unlabeled,
    wnid_of,
)
from vggbatch.sources.names import suffix, unique
from vggbatch.sources.tables import dialect, json_tables
from vggbatch.sources.tables.image_columns import values_of
from vggbatch.sources.tables.one_hot import check_no_one_hot
from vggbatch.storage.parquet_pages import batches, open_guarded

_TEXT_BYTES = 2**30
"""Characters of all values, as in a text of as many bytes."""

Exists = Callable[[str], bool]
"""Whether there is a file of a name."""

FILE = (
    *("file", "filename", "file_name", "image", "image_id", "imageid", "path", "filepath"),
    *("file_path", "image_path", "img_path", "image_name", "img_name", "uri", "url", "image_url"),
    *("image_uri", "source", "key", "name", "img", "id", "image_file", "filenames", "images"),
)
SYNSET = ("wnid", "synset", "class", "synset_id", "predictionstring", "class_name", "label_name")
INDEX = ("class_index", "label", "target", "class_id", "label_index", "index", "y")
KNOWN = (*FILE, *SYNSET, *INDEX)
"""Names of columns in use, in lower case."""

_LABEL_WORDS = frozenset(
    {"label", "labels", "class", "classes", "target", "targets", "category", "truth", "gt", "y"}
    | {"cls", "synset", "wnid", "classid", "labelid", "categoryid", "classindex", "labelindex"}
    | {"groundtruth", "imagenet", "breed", "species"}
)
"""A column of integers is one of classes only if a word of its name is one of these."""


def find(header: Iterable[str], names: Sequence[str]) -> str | None:
    """The column of a header that goes by one of the names, the first name first."""
    by_name = {column.strip().lower(): column for column in header}
    return next((by_name[name] for name in names if name in by_name), None)


@dataclass(frozen=True)
class Reading:
    """How tables are to be read."""

    columns: ColumnOptions = field(default_factory=ColumnOptions)
    classes: Classes | None = None
    """The network's classes; None: not known, and any name may be a class."""
    labels: bool = True
    """Whether labels are wanted at all: without, no table is refused for them."""


class FilesInDoubt(ValueError):
    """Several columns of a table may name the images; `columns` has them."""

    def __init__(self, columns: Sequence[str]) -> None:
        first, second = columns[:2]
        super().__init__(
            f"both column {first!r} and column {second!r} may name the images: "
            "name the right one with columns.file"
        )
        self.columns = tuple(columns)


@dataclass(frozen=True)
class Table:
    """A table, column by column."""

    columns: dict[str, list[str]]
    named: bool = True
    """Whether the names are the file's own."""


def read(data: bytes, name: str) -> Table:
    """Read delimited text, JSON, JSON Lines, or Parquet if the name ends so; null becomes "".

    Raises:
        ValueError: it is none of these, or not well-formed.
    """
    if suffix(name) == "parquet":
        return _from_parquet(data)
    content = _text(data)
    if json_tables.is_json(content):
        return Table(json_tables.parse(content))
    return parse(content)


def _text(data: bytes) -> str:
    try:
        return text_file.decode(data)
    except ValueError:
        if (content := recognize(data[:HEAD])) is None:
            raise
        # xlsx is a zip archive
        what = f"{content.name}: save the table as CSV" if data.startswith(b"PK") else str(content)
        raise ValueError(f"no text but {what}") from None


def parse(content: str) -> Table:
    """Read delimited text, with a header or without: see `dialect`.

    Raises:
        ValueError: it is no table.
    """
    header, rows = dialect.parse(content, KNOWN)
    places = range(len(header) if header is not None else len(rows[0]))
    names = [(header[i] if header is not None else "") or f"column {i + 1}" for i in places]
    cells = {name: [row[i] for row in rows] for i, name in enumerate(unique(names))}
    return Table(cells, named=header is not None)


def file_column(table: Table, options: ColumnOptions, exists: Exists | None = None) -> str:
    """The column that names the images.

    Args:
        table: the table.
        options: may name the column.
        exists: whether there is a file of this name; None where that cannot be known.

    Raises:
        ValueError: no column does, or two do that name different files.
    """
    if options.file is not None:
        return _existing(table, options.file, "file")
    filled = [name for name in table.columns if any(table.columns[name])]
    found = [name for name in filled if dialect.mostly(table.columns[name], dialect.is_file)]
    if exists is not None and len(found) != 1:
        there = [n for n in found or filled if any(map(exists, _first(table.columns[n])))]
        found = there or found
    if not found:
        found = _known(table, filled) or ([] if table.named else filled[:1])
    found = _without_shorter(table, found)
    if not found:
        raise ValueError(
            f"no column names the images (the columns are {listed(table.columns)}): "
            "name it with columns.file"
        )
    if len(found) > 1:
        raise FilesInDoubt(found)
    return found[0]


def other_file_columns(table: Table, chosen: str) -> list[str]:
    """Further columns by whose names files may be meant."""
    known = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in table.columns}
    return [name for key in FILE if (name := known.get(key)) not in (None, chosen) and name]


def label_column(table: Table, file: str | None, reading: Reading) -> str | None:
    """The column that has the classes of the images; None if the table has no labels.

    Args:
        table: the table.
        file: the column that names the images, where that is known.
        reading: may name the column, and has the classes.

    Raises:
        ValueError: two columns fit that mean different classes, or none fits of those there are.
    """
    if reading.columns.label is not None:
        return _existing(table, reading.columns.label, "label")
    if not reading.labels:
        return None
    others = {name: cells for name, cells in table.columns.items() if name != file}
    candidates = {n: cells for n, cells in others.items() if _may_label(n, cells, reading)}
    if not table.named and file == list(table.columns)[-1] and len(others) > 1:
        candidates.pop(_numbers_rows(others) or "", None)  # im2rec's .lst
    identities = [name for name, cells in candidates.items() if _by_identity(cells, reading)]
    integers = [n for n, cells in candidates.items() if n not in identities and _integers(cells)]
    if len(integers) > 1:
        integers = [n for n in integers if not _is_row_number(n, candidates[n])]
    if identities:
        chosen = _agreeing(candidates, identities, reading)
        return _against_integers(chosen, candidates, integers, reading)
    if integers:
        check_no_one_hot(integers[0], others, len(reading.classes or ()))
        chosen = _agreeing(candidates, integers, reading)
        return _not_numbered_names(chosen, candidates, reading)
    return _names(candidates)


def _names(candidates: dict[str, list[str]]) -> str | None:
    """A column of names, of which some at least are classes; its cells are judged one by one."""
    if not candidates:
        return None
    if len(candidates) == 1:
        return next(iter(candidates))
    first, second = list(candidates)[:2]
    raise ValueError(
        f"both column {first!r} and column {second!r} may have the label: name the right one with "
        "columns.label"
    )


def _agreeing(candidates: dict[str, list[str]], names: list[str], reading: Reading) -> str:
    """The one of several columns; the first if they say the same."""
    first = names[0]
    for name in names[1:]:
        if not all(_same(a, b, reading) for a, b in _pairs(candidates, first, name)):
            raise ValueError(
                f"both column {first!r} and column {name!r} may have the label, and differ: name "
                "the right one with columns.label"
            )
    return first


def _against_integers(
    chosen: str, candidates: dict[str, list[str]], integers: list[str], reading: Reading
) -> str:
    """A column of WordNet ids or names, unless one of integers contradicts it here and there.

    Integers that never agree number the classes of the data set's own list.
    """
    for name in integers:
        pairs = _pairs(candidates, chosen, name)
        agreeing = sum(_same(a, b, reading) for a, b in pairs)
        if reading.classes is not None and 2 * agreeing > len(pairs) > agreeing:
            raise ValueError(
                f"column {chosen!r} and column {name!r} are different classes in "
                f"{len(pairs) - agreeing} rows: name the right one with columns.label"
            )
    return chosen


def _not_numbered_names(chosen: str, candidates: dict[str, list[str]], reading: Reading) -> str:
    """A column of integers, unless they count names beside them that are not the network's."""
    for name, cells in candidates.items():
        if reading.classes is None or _integers(cells):
            continue
        pairs = set(_pairs(candidates, chosen, name))
        numbers, names = {as_integer(a) for a, _ in pairs}, {b for _, b in pairs}
        unknown = [b for b in names if not reading.classes.candidates(b)]
        counted = len(pairs) == len(names) == len(numbers) and numbers == set(range(len(numbers)))
        if counted and unknown and 2 < len(names) < len(reading.classes):
            raise ValueError(
                f"column {chosen!r} numbers the {len(names)} classes of column {name!r}, which "
                f"this model does not have ({min(unknown)!r}): name its classes with indices.names"
            )
    return chosen


def _pairs(columns: dict[str, list[str]], a: str, b: str) -> list[tuple[str, str]]:
    both = zip(columns[a], columns[b], strict=True)
    return [(x, y) for x, y in both if not (is_unlabeled(x) or is_unlabeled(y))]


def _same(a: str, b: str, reading: Reading) -> bool:
    """Whether two labels mean one class."""
    if a == b:
        return True
    if reading.classes is None:
        return as_integer(a) is not None and as_integer(a) == as_integer(b)
    found = set(reading.classes.candidates(a)) & set(reading.classes.candidates(b))
    return bool(found)


def _may_label(name: str, cells: Sequence[str], reading: Reading) -> bool:
    """Whether a column may have classes: by its name, or by the classes in it."""
    if not any(not is_unlabeled(cell) for cell in cells) or dialect.mostly(cells, dialect.is_file):
        return False
    if _by_identity(cells, reading):
        return True
    words = set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    unnamed = re.fullmatch(r"column \d+", name)
    if words & _LABEL_WORDS or name.lower() in SYNSET or unnamed:
        return _integers(cells) or not dialect.mostly(cells, _is_number)
    return name.strip().lower() == "index" and _integers(cells) and not _counts(cells)


def _by_identity(cells: Sequence[str], reading: Reading) -> bool:
    """Whether nearly all cells are WordNet ids, or names of classes."""

    def identifies(cell: str) -> bool:
        if wnid_of(cell) is not None:
            return True
        named = as_integer(cell) is None and reading.classes is not None
        return named and bool(reading.classes and reading.classes.candidates(cell))

    return dialect.mostly(cells, identifies)


def _integers(cells: Sequence[str]) -> bool:
    return dialect.mostly(cells, lambda cell: as_integer(cell) is not None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _counts(cells: Sequence[str]) -> bool:
    """Whether a column counts its rows; `00001` is a name."""
    first = as_integer(cells[0])
    if first not in (0, 1) or any(cell.startswith("0") and cell.isdigit() for cell in cells[1:]):
        return False
    return [as_integer(cell) for cell in cells] == list(range(first, first + len(cells)))


def _is_row_number(name: str, cells: Sequence[str]) -> bool:
    """Whether a column beside another one is a row number, as pandas writes it: without a name."""
    return name.lower() == "index" or (name.startswith("column ") and _counts(cells))


def _numbers_rows(columns: dict[str, list[str]]) -> str | None:
    """The first column if its cells are integers, each another one."""
    name, cells = next(iter(columns.items()))
    whole = all(re.fullmatch(r"\d+", cell) for cell in cells)
    return name if whole and len(set(cells)) == len(cells) else None


def _known(table: Table, names: Iterable[str]) -> list[str]:
    """The columns with a name that files go by; in the order of `FILE` for equal content."""
    by_name = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in names}
    found = [by_name[name] for name in FILE if name in by_name]
    # a row number names no file where another column can
    return [n for n in found if not _counts(table.columns[n])] or found


def _without_shorter(table: Table, names: list[str]) -> list[str]:
    """The columns without those that name the same files by less of their paths."""

    def ends_with(longer: str, shorter: str) -> bool:
        pairs = zip(table.columns[longer], table.columns[shorter], strict=True)
        return all(a == b or a.endswith("/" + b.lstrip("/")) for a, b in pairs)

    kept: list[str] = []
    for name in names:
        if any(ends_with(other, name) for other in kept):
            continue
        kept = [other for other in kept if not ends_with(name, other)] + [name]
    return kept


def _first(cells: Sequence[str]) -> list[str]:
    return [cell for cell in dialect.sampled(cells) if cell][:4]


def _existing(table: Table, name: str, setting: str) -> str:
    if name in table.columns:
        return name
    same = [column for column in table.columns if column.strip().lower() == name.strip().lower()]
    if len(same) == 1:
        return same[0]
    raise ValueError(
        f"there is no column {name!r} (columns.{setting}); there are {listed(table.columns)}"
    )


def listed(names: Iterable[str]) -> str:
    """Names of columns, to be read in a message."""
    return ", ".join(map(repr, names)) or "no others"


def _from_parquet(data: bytes) -> Table:
    try:
        file = open_guarded(io.BytesIO(data), len(data), rows_a_byte=16)
        schema = file.schema_arrow
        paths = {f.name: path for f in schema if (path := _plain_path(f)) is not None}
        own = class_names(schema)
        columns: dict[str, list[str]] = {name: [] for name in paths}
        budget = _TEXT_BYTES
        for batch in batches(file, list(paths.values())):
            for name, cells in columns.items():
                cells_of = values_of(batch, paths[name]).to_pylist()
                values = ["" if v is None else str(v) for v in cells_of]
                cells += [label_text(value, own.get(name)) for value in values]
                budget -= sum(map(len, values))
            if budget < 0:
                raise ValueError(f"more than {_TEXT_BYTES} characters")
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"not a Parquet file: {error}") from None
    return Table({name: columns[name] for name in paths if name not in row_numbers(schema)})


def _plain_path(field: pa.Field) -> str | None:
    """The path of the text or numbers of a field: its own, or that of Hugging Face's `path`."""
    if is_plain(field.type):
        return str(field.name)
    inside = {part.name: part.type for part in field.type} if pa.types.is_struct(field.type) else {}
    return f"{field.name}.path" if "path" in inside and is_plain(inside["path"]) else None


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column is of text or numbers, dictionaries of them included."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text_like = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text_like or kind == pa.string_view() or pa.types.is_integer(kind) or _is_float(kind)


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind))


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The classes of the columns for which Hugging Face's metadata has them (ClassLabel)."""
    try:
        metadata = json_text.parse((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = metadata.get("info", {}).get("features", {})
        return {
            column: identified([str(name) for name in feature["names"]])
            for column, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, AttributeError):
        return {}


def row_numbers(schema: pa.Schema) -> set[str]:
    """The columns that pandas wrote as the index of its rows, whose names it made up."""
    return {name for name in schema.names if re.fullmatch(r"__index_level_\d+__", name)}


def label_text(cell: str, names: Sequence[str] | None) -> str:
    """A label, as the name of its class where the data set says what its indices mean."""
    number = as_integer(cell)
    if names is None or number is None:
        return cell
    if number >= len(names):
        return f"label {number} of a data set of {len(names)} classes"
    return names[number] if number >= 0 else ""
