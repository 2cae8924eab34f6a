"""A small Parquet file costs little memory, whatever it says of itself."""

import contextlib
import io
import os
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbatch.sources.base import Shard
from vggbatch.sources.discover import discover
from vggbatch.sources.formats.parquet import ParquetReader
from vggbatch.sources.tables import columns
from vggbatch.storage.parquet_pages import OversizedError, open_guarded

MEGABYTE = bytes(2**20)


def written(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def images(values, kind=None) -> pa.Table:
    return pa.table({"image": pa.array(values, kind or pa.binary())})


def random(count: int, size: int = 5000) -> pa.Table:
    return images([os.urandom(size) for _ in range(count)])


def lying(data: bytes) -> bytes:
    """The same file, whose footer says that its columns are small."""
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - length : -8]
    for size in (2**26 + 4, 2**27 + 4):
        for total in range(size, size + 200):
            footer = footer.replace(varint(total), varint(2**21 + total % 2**20), 1)
    return data[: -8 - length] + footer + data[-8:]


def varint(value: int) -> bytes:
    value *= 2  # zigzag
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


HONEST = {
    "row groups": (random(300), {"row_group_size": 100}),
    "version 2 pages": (random(300), {"data_page_version": "2.0", "compression": "zstd"}),
    "uncompressed": (random(300), {"compression": "none", "use_dictionary": False}),
    "a dictionary": (images([b"a" * 1000, b"b"] * 100), {}),
    "page index and checksums": (
        random(300),
        {"write_page_index": True, "write_page_checksum": True},
    ),
    "a large page": (random(400, 100_000), {"data_page_size": 2**30, "use_dictionary": False}),
    "no rows": (images([]), {}),
    "nulls": (images([None] * 1000), {}),
}


@pytest.mark.parametrize(("table", "options"), HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("buffer_size", [0, 1000, 2**20])
def test_honest_files_are_read_as_ever(table, options, buffer_size):
    data = written(table, **options)
    file = open_guarded(io.BytesIO(data), len(data), buffer_size=buffer_size)
    assert file.read().equals(table)
    assert pa.Table.from_batches(file.iter_batches(7), table.schema).equals(table)


HOSTILE = {
    "a large value": written(images([MEGABYTE * 64]), compression="zstd", use_dictionary=False),
    "a large page": written(
        images([MEGABYTE * 4] * 20), compression="gzip", use_dictionary=False, data_page_size=2**30
    ),
    "a large dictionary": written(
        images([MEGABYTE * 64, b""] * 9), compression="zstd", dictionary_pagesize_limit=2**30
    ),
    "brotli": written(images([MEGABYTE * 64]), compression="brotli", use_dictionary=False),
    "rows without bytes": written(images([None] * 10**6), compression="zstd"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("change", [bytes, lying])
def test_bombs_are_not_decompressed(data, change):
    before = pa.total_allocated_bytes()
    peak = pa.default_memory_pool().max_memory()
    with pytest.raises(OversizedError):
        open_guarded(io.BytesIO(change(data)), len(data), buffer_size=2**20).read()
    assert pa.default_memory_pool().max_memory() <= max(peak, before + 2**25)


def shard_of(tmp_path, data: bytes) -> Shard:
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    return Shard("parquet", str(path), "a.parquet", len(data), "1")


def rows(shard: Shard) -> list:
    reader = ParquetReader()
    return list(reader.read(shard, reader.members(shard), 10**6))


def test_a_bomb_is_a_damaged_shard(tmp_path):
    errors = rows(shard_of(tmp_path, HOSTILE["a large value"]))
    assert [error.kind for error in errors] == ["bad_shard"]
    errors = rows(shard_of(tmp_path, HOSTILE["rows without bytes"]))
    assert [error.kind for error in errors] == ["bad_shard"]


def test_entries_of_a_dictionary_are_copied_a_few_at_a_time(tmp_path):
    table = images([MEGABYTE * 8, b"x"] * 20)
    data = written(table, compression="zstd", dictionary_pagesize_limit=2**30)
    errors = rows(shard_of(tmp_path, data))
    assert [getattr(error, "kind", error) for error in errors] == ["too_large", b"x"] * 20


def test_a_label_of_a_dictionary_that_the_footer_belittles(tmp_path):
    size, count = 2**21, 500
    labels = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), ["x" * size])
    data = written(
        images([b"x"] * count).append_column("label", labels),
        compression="zstd",
        dictionary_pagesize_limit=2**30,
        store_schema=False,
    )
    real = pq.read_metadata(io.BytesIO(data)).row_group(0).column(1).total_uncompressed_size
    small = bytes([0x82, *[0x80] * (len(varint(real)) - 2), 0])
    assert data.count(varint(real)) == 1
    data = data.replace(varint(real), small)
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    [shard] = discover([str(path)])
    assert shard.layout.label == "label"
    assert [error.kind for error in rows(shard)] == ["bad_shard"]


@pytest.mark.parametrize(("name", "count"), [("n" * 2**20, 20), ("n" * 30_000, 2500)])
def test_names_cost_no_more_than_the_file(tmp_path, name, count):
    table = images([b"x"] * count).append_column("path", pa.array([name] * count))
    (*_, last) = rows(shard_of(tmp_path, written(table, compression="zstd")))
    assert last.kind == "bad_shard"


def test_manifests_cost_no_more_than_their_text(monkeypatch):
    monkeypatch.setattr(columns, "_TEXT_BYTES", 10**6)
    good = pa.table(
        {"url": [f"https://a/{i}.jpg" for i in range(1000)], "label": list(range(1000))}
    )
    found = columns.read(written(good), "a.parquet")
    assert found.columns["label"] == [str(i) for i in range(1000)]
    bad = pa.table({"url": ["https://a/" + "a" * 2000] * 1000})
    with pytest.raises(ValueError, match="characters"):
        columns.read(written(bad), "a.parquet")


def test_damaged_headers_of_pages_are_arrows_to_report():
    data = bytearray(written(random(50), use_dictionary=False))
    for place in range(4, 40):
        changed = bytes(data[:place]) + b"\xff" + bytes(data[place + 1 :])
        with contextlib.suppress(pa.ArrowException, OSError):
            open_guarded(io.BytesIO(changed), len(changed)).read()
