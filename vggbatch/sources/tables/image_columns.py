"""Columns of Parquet that hold encoded images, in the forms in which writers keep them.

A column is named by its path: `image`, `image.bytes` of a struct, `views[].bytes` of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vggbatch.preprocess.content import HEAD, Form, recognize
from vggbatch.storage.parquet_pages import GuardedFile, batches

_USUAL = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "content", "data")
_BYTES, _PATH = "bytes", "path"
"""Fields of datasets.Image."""
LIST = "[]"
"""In a path: a list of what follows."""
_ROWS = 16
"""Rows by whose content a column is distinguished from others."""
_PICTURES = frozenset({Form.IMAGE, Form.UNDECODED})


@dataclass(frozen=True)
class ImageColumn:
    """Where the bytes of images are, and the name that stands beside them."""

    path: str
    """Of the bytes."""
    name: str | None = None
    """Of the field with the image's own path."""

    @property
    def title(self) -> str:
        """What a user calls it: without the field of the bytes."""
        return self.path.removesuffix(f".{_BYTES}").removesuffix(LIST)

    @property
    def in_lists(self) -> bool:
        """Whether a row has any number of images."""
        return LIST in self.path


def image_columns(schema: pa.Schema) -> list[ImageColumn]:
    """All columns that may hold encoded images, by their types.

    Binary in any of its forms (large, view, dictionary), a struct with such a field `bytes`, one
    below other structs, and lists of either.
    """
    return [column for field in schema for column in _below(field.type, field.name)]


def _below(kind: pa.DataType, path: str) -> Iterator[ImageColumn]:
    if is_bytes(kind):
        yield ImageColumn(path)
    elif pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        if _BYTES in fields and is_bytes(fields[_BYTES]):
            yield ImageColumn(f"{path}.{_BYTES}", f"{path}.{_PATH}" if _PATH in fields else None)
            return
        for name, type_ in fields.items():
            yield from _below(type_, f"{path}.{name}")
    elif is_list(kind) and LIST not in path:
        yield from _below(kind.value_type, path + LIST)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes, however they are laid out."""
    if pa.types.is_dictionary(kind):
        return is_bytes(kind.value_type)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists, however they are laid out."""
    tests: Sequence[Callable[[pa.DataType], bool]] = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
    )
    return any(test(kind) for test in tests)


def choose(
    columns: Sequence[ImageColumn], first_rows: Callable[[ImageColumn], list[Any]]
) -> ImageColumn | None:
    """The column of the images; None where there is none.

    Where several may be, the one whose first values are images; a usual name decides only where
    none has any.

    Args:
        columns: as `image_columns` has them.
        first_rows: some values of a column.

    Raises:
        ValueError: several hold images.
    """
    if len(columns) < 2:
        return next(iter(columns), None)
    pictures = [column for column in columns if any(map(_is_picture, first_rows(column)))]
    if len(pictures) > 1:
        titles = [column.title for column in pictures]
        raise ValueError(
            f"several columns hold images: {', '.join(titles)}; name one of them with "
            f"--set columns.bytes={titles[0]}"
        )
    if pictures:
        return pictures[0]
    by_title = {column.title.lower(): column for column in columns}
    return next((by_title[name] for name in _USUAL if name in by_title), None)


def named(columns: Sequence[ImageColumn], name: str) -> ImageColumn | None:
    """The column that a user calls so."""
    return next((c for c in columns if name.lower() in (c.title.lower(), c.path.lower())), None)


def absent(name: str, others: Sequence[str]) -> str:
    """That there is no column of a name, and which there are."""
    have = f"there are {', '.join(map(repr, others))}" if others else "there are none"
    return f"there is no column {name!r} of image bytes (columns.bytes); {have}"


def path_beside(schema: pa.Schema, image: str) -> str | None:
    """The field with the paths beside a column of bytes, by the column's own path."""
    return next((c.name for c in image_columns(schema) if c.path == image), None)


def first_rows(file: GuardedFile, column: ImageColumn) -> list[Any]:
    """The first values of a column, those in lists too."""
    batch = next(batches(file, [leaf(file, column.path)], _ROWS), None)
    if batch is None:
        return []
    values = values_of(batch, column.path).to_pylist()
    return [image for row in values for image in (row or ())] if column.in_lists else values


def leaf(file: pq.ParquetFile, path: str) -> str:
    """What Parquet calls the column at a path; it has names of its own for the inside of lists."""
    head, inside, below = path.partition(LIST)
    if not inside:
        return path
    schema = file.metadata.schema
    found = (schema.column(number).path for number in range(len(schema)))
    ours = [name for name in found if name.startswith(f"{head}.") and name.endswith(below)]
    return ours[0] if len(ours) == 1 else head


def values_of(batch: pa.RecordBatch, path: str) -> pa.Array:
    """The values at a path; of a path in lists, a list for each row."""
    head, inside, below = path.partition(LIST)
    column = max((n for n in batch.schema.names if f"{head}.".startswith(f"{n}.")), key=len)
    fields = [field for field in head[len(column) :].split(".") if field]
    array = batch.column(column)
    array = pc.struct_field(array, fields) if fields else array
    if not inside:
        return array
    names = [field for field in below.split(".") if field]
    # a plain list of the values, whatever it was; null where there is no list
    offsets = pa.array([0, *pc.list_value_length(array).fill_null(0).to_pylist()], pa.int64())
    flat = pc.list_flatten(array)
    flat = pc.struct_field(flat, names) if names else flat
    return pa.LargeListArray.from_arrays(
        pc.cumulative_sum(offsets), flat, mask=array.is_null() if array.null_count else None
    )


def _is_picture(value: Any) -> bool:
    content = recognize(value[:HEAD]) if isinstance(value, bytes) else None
    return content is not None and content.form in _PICTURES
