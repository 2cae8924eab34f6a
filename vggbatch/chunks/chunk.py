"""The one row that travels through the pipeline: a chunk of images, a block of its own in Ray.

A chunk is read, scored and committed as one, so it is also the unit of resume. One Arrow row for
each chunk keeps Ray from splitting or merging it, and lets the crops of a chunk lie in one buffer
of the object store, which the classifier reads without a copy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.sources.base import MEMBERS_SCHEMA, Layout, Packed, Shard, left_out_of
from vggbatch.sources.input_warnings import LeftOut, Names

NumberedShard = tuple[int, int, Shard]
"""Shard number, group number, shard."""

_MEMBERS = pa.list_(pa.struct(list(MEMBERS_SCHEMA)))

_LAYOUT = pa.struct([(field.name, pa.string()) for field in fields(Layout)])

_PACKED = pa.struct([(field.name, pa.int64()) for field in fields(Packed)])

SHARD_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("group", pa.int32()),
        ("format", pa.string()),
        ("uri", pa.string()),
        ("name", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("images", pa.int64()),
        ("layout", _LAYOUT),
        ("packed", _PACKED),
        ("members", _MEMBERS),
    ]
)
"""One row a shard; `members` is null where the shard must be opened to know them, and `images`
where their number is not known before. `packed` as of Shard."""

CHUNK_SCHEMA = pa.schema(
    [*SHARD_SCHEMA, ("chunk", pa.int32()), ("chunks", pa.int32()), ("left_out", pa.string())]
)
"""One row a chunk: `members` are the chunk's own, `chunk` its number of `chunks` in the shard, and
`images` counts the shard's. `left_out`: of a shard's first chunk, what in it is no image."""

ROW = pa.struct(
    [
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("label", pa.int32()),
        ("error", pa.string()),
    ]
)
"""What is known of each image once its chunk is decoded."""

_WHOLE = 128
"""Images. Row groups of images are of 100, as Hugging Face's datasets and `vggbatch pack` write
them; their crops are 19 MB."""

KEY = ["group", "shard", "chunk", "chunks", "images"]


@dataclass(frozen=True)
class ChunkKey:
    """The name of a chunk, the same in every run on the same input."""

    group: int
    shard: int
    chunk: int
    chunks: int
    """In the shard."""
    images: int
    """In the shard."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ChunkKey:
        """The chunk that a row with its columns is for."""
        return cls(*(row[name] for name in KEY))


def shard_table(shards: Iterable[NumberedShard]) -> pa.Table:
    """Rows of SHARD_SCHEMA."""
    rows = list(shards)
    columns: dict[str, Any] = {
        "shard": [number for number, _, _ in rows],
        "group": [group for _, group, _ in rows],
    }
    for name in ("format", "uri", "name", "size", "version", "images"):
        columns[name] = [getattr(shard, name) for _, _, shard in rows]
    columns["layout"] = [_cell(shard.layout) for _, _, shard in rows]
    columns["packed"] = [_cell(shard.packed) for _, _, shard in rows]
    arrays = [pa.array(columns[f.name], f.type) for f in SHARD_SCHEMA if f.name != "members"]
    tables = [shard.members for _, _, shard in rows]
    return pa.Table.from_arrays([*arrays, _list_of_members(tables)], schema=SHARD_SCHEMA)


def as_recorded(table: pa.Table) -> pa.Table:
    """A table of shards as SHARD_SCHEMA has it, also one that an earlier version has recorded.

    Raises:
        ValueError: its columns are others.
    """
    if "layout" not in table.column_names:
        place = table.schema.get_field_index("members")
        nulls = pa.nulls(len(table), SHARD_SCHEMA.field("layout").type)
        table = table.add_column(place, "layout", nulls)
    if "packed" not in table.column_names:
        place = table.schema.get_field_index("members")
        table = table.add_column(place, "packed", pa.nulls(len(table), _PACKED))
    members = table["members"].combine_chunks()
    known = members.type.value_type.names
    if "version" not in known:
        # the values, not their flattened view: an absent list has none
        values = members.values
        columns = [*(values.field(name) for name in known), pa.nulls(len(values), pa.string())]
        fields = [*members.type.value_type, MEMBERS_SCHEMA.field("version")]
        whole = pa.StructArray.from_arrays(columns, fields=fields)
        lists = pa.ListArray.from_arrays(members.offsets, whole, None, None, members.is_null())
        table = table.set_column(table.schema.get_field_index("members"), "members", lists)
    # with the same columns in the same order, or ValueError
    return table.cast(SHARD_SCHEMA)


def shards_of(table: pa.Table) -> Iterator[NumberedShard]:
    """The shards of a table of SHARD_SCHEMA or CHUNK_SCHEMA."""
    table = table.combine_chunks()
    for row in range(table.num_rows):
        value = {name: table[name][row].as_py() for name in table.column_names if name != "members"}
        cell = table["members"][row]
        members = pa.Table.from_struct_array(cell.values) if cell.is_valid else None
        shard = Shard(
            format=value["format"],
            uri=value["uri"],
            name=value["name"],
            size=value["size"],
            version=value["version"],
            members=members,
            images=value["images"],
            layout=Layout(**value["layout"]) if value["layout"] else None,
            packed=Packed(**value["packed"]) if value["packed"] else None,
        )
        yield value["shard"], value["group"], shard


def split(
    number: int, group: int, shard: Shard, members: pa.Table, chunk_size: int
) -> Iterator[pa.Table]:
    """Cut a shard's members into chunks, one table of one CHUNK_SCHEMA row each.

    A shard without members is one empty chunk, so that it too can be committed as done.
    """
    cuts = _cuts(members, chunk_size)
    left_out = LeftOut(left_out_of(members)).to_json()
    for chunk, (start, end) in enumerate(cuts):
        part = members.slice(start, end - start)
        values = [number, group, shard.format, shard.uri, shard.name, shard.size, shard.version]
        values += [len(members), _cell(shard.layout), _cell(shard.packed)]
        arrays = [
            pa.array([value], field.type)
            for value, field in zip(values, SHARD_SCHEMA, strict=False)
        ]
        arrays += [
            _list_of_members([part]),
            pa.array([chunk], pa.int32()),
            pa.array([len(cuts)], pa.int32()),
            pa.array([None if chunk else left_out], pa.string()),
        ]
        yield pa.Table.from_arrays(arrays, schema=CHUNK_SCHEMA)


def _cuts(members: pa.Table, chunk_size: int) -> list[tuple[int, int]]:
    """Start and end of each chunk, which holds whole runs (see MEMBERS_SCHEMA) where it can.

    So that no run is read for two chunks, one of up to `_WHOLE` images is a single chunk even if
    that is more than `chunk_size`. A longer one is cut into even parts.
    """
    if members["run"].null_count == len(members):
        parts = max(1, math.ceil(len(members) / chunk_size))
        return [(i * chunk_size, min((i + 1) * chunk_size, len(members))) for i in range(parts)]
    run = members["run"].fill_null(-1).to_numpy()
    edges = [0, *(np.flatnonzero(run[1:] != run[:-1]) + 1).tolist(), len(members)]
    largest = max(chunk_size, _WHOLE)
    cuts: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(edges):
        if cuts and end - cuts[-1][0] <= chunk_size:
            cuts[-1] = cuts[-1][0], end
            continue
        parts = math.ceil((end - start) / largest)
        places = [start + (end - start) * i // parts for i in range(parts + 1)]
        cuts += itertools.pairwise(places)
    return cuts


def left_out_in(table: pa.Table) -> dict[str, Names]:
    """What a chunk of CHUNK_SCHEMA says of things in its shard that are no images."""
    text = table["left_out"][0].as_py()
    return LeftOut.from_json(text).kinds if text else {}


def key_of(table: pa.Table) -> ChunkKey:
    """The name of the chunk in a table of one row."""
    return ChunkKey(*(table[name][0].as_py() for name in KEY))


def with_columns(table: pa.Table, **columns: pa.Array) -> pa.Table:
    """The table with further columns."""
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def list_of(values: pa.Array) -> pa.Array:
    """An array of length one that holds a list of all the values."""
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def rows_of(table: pa.Table) -> pa.StructArray:
    """The `rows` of a decoded chunk, as an array of ROW."""
    return table["rows"].chunk(0).flatten()


def with_errors(rows: pa.StructArray, failed: npt.NDArray[np.bool_], error: str) -> pa.StructArray:
    """Rows of ROW with an error for those that failed.

    Args:
        rows: of a chunk.
        failed: of each row that has no error yet, in order.
        error: `kind: message`.
    """
    if not failed.any():
        return rows
    errors = rows.field("error").to_pylist()
    scored = [row for row, known in enumerate(errors) if known is None]
    for row, bad in zip(scored, failed, strict=True):
        if bad:
            errors[row] = error
    fields = [rows.field(field.name) for field in ROW if field.name != "error"]
    return pa.StructArray.from_arrays([*fields, pa.array(errors, pa.string())], fields=list(ROW))


def bytes_of(array: npt.NDArray[Any]) -> pa.Array:
    """A large_binary array of length one over an array's own memory."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    offsets = pa.py_buffer(np.array([0, flat.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(flat)])


def array_of(column: pa.ChunkedArray, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The array that `bytes_of` made, read in place (an Arrow scalar would be a copy)."""
    array = column.chunk(0)
    _, offsets, data = array.buffers()
    start, end = np.frombuffer(offsets, np.int64)[array.offset : array.offset + 2]
    flat = np.frombuffer(data, np.uint8)[start:end] if data is not None else np.empty(0, np.uint8)
    values: npt.NDArray[Any] = flat.view(dtype).reshape(shape)
    return values


def _cell(value: Layout | Packed | None) -> dict[str, str | int | None] | None:
    return asdict(value) if value else None


def _list_of_members(tables: list[pa.Table | None]) -> pa.Array:
    lengths = [0 if table is None else table.num_rows for table in tables]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    merged = pa.concat_tables([MEMBERS_SCHEMA.empty_table(), *filter(None, tables)])
    columns = [
        pa.concat_arrays([*column.chunks, pa.array([], column.type)]) for column in merged.columns
    ]
    values = pa.StructArray.from_arrays(columns, fields=list(_MEMBERS.value_type))
    mask = pa.array([table is None for table in tables], pa.bool_())
    return pa.ListArray.from_arrays(offsets, values, _MEMBERS, None, mask)
