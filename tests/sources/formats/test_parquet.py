import dataclasses
import io
import os
import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.samples import jpeg
from vggbatch.errors import ImageError
from vggbatch.sources import discover
from vggbatch.sources.base import DAMAGED, Shard
from vggbatch.sources.formats import parquet
from vggbatch.sources.formats.parquet import Layout, ParquetReader, layout
from vggbatch.storage.parquet_pages import PageGuard
from vggbatch.storage.stream import RemoteFile

HF = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def shard_of(tmp_path, table: pa.Table, version: str = "1", **options) -> Shard:
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, **options)
    return Shard("parquet", str(path), "a.parquet", path.stat().st_size, version)


def hf_table(count: int, **columns) -> pa.Table:
    rows = [{"bytes": jpeg(i, (9, 9)), "path": f"n01440764_{i}.JPEG"} for i in range(count)]
    return pa.table({"image": pa.array(rows, HF), "label": list(range(count)), **columns})


def read(shard: Shard, start: int = 0, count: int | None = None) -> list:
    reader = ParquetReader()
    return list(reader.read(shard, reader.members(shard).slice(start, count)))


def test_hugging_face_imagenet(tmp_path):
    shard = shard_of(tmp_path, hf_table(50), row_group_size=20)
    members = ParquetReader().members(shard)
    assert members["name"].to_pylist() == [f"n01440764_{i}.JPEG" for i in range(50)]
    assert members["label"].to_pylist() == [str(i) for i in range(50)]
    assert read(shard) == [jpeg(i, (9, 9)) for i in range(50)]


def test_chunks_in_any_order(tmp_path):
    shard = shard_of(tmp_path, hf_table(50), row_group_size=20)
    for start in (0, 7, 14, 42, 3, 19, 3):
        assert read(shard, start, 5) == [jpeg(i, (9, 9)) for i in range(start, start + 5)]


def test_each_row_group_is_read_once_by_chunks_in_order(tmp_path, monkeypatch):
    shard = shard_of(tmp_path, hf_table(60), row_group_size=20)
    groups = []
    original = pq.ParquetFile.iter_batches

    def counted(self, *args, **options):
        if options["columns"] == ["image.bytes"]:
            groups.extend(options["row_groups"])
        return original(self, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    for start in range(0, 60, 6):
        read(shard, start, 6)
    assert groups == [0, 1, 2]


def test_a_row_group_costs_a_store_its_own_bytes(monkeypatch):
    """Each group read as by a process of its own, as the chunks of a shard are."""
    fs = fsspec.filesystem("memory")
    rows = [{"bytes": bytes([i]) * 100_000, "path": f"{i}"} for i in range(240)]
    sink = io.BytesIO()
    table = pa.table({"image": pa.array(rows, HF), "label": list(range(240))})
    pq.write_table(table, sink, row_group_size=80, compression="none")
    fs.pipe("/groups.parquet", sink.getvalue())
    shard = Shard("parquet", "memory://groups.parquet", "g", len(sink.getvalue()), "1")
    members = ParquetReader().members(shard)
    assert members["run"].to_pylist() == [i // 80 for i in range(240)]
    asked = []
    original = type(fs).cat_file

    def counted(self, path, start=None, end=None, **options):
        asked.append(end - start)
        return original(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(fs), "cat_file", counted)
    for group in (2, 0, 1):
        monkeypatch.setattr(parquet, "_cursors", threading.local())
        data = list(ParquetReader().read(shard, members.slice(80 * group, 80)))
        assert data == [row["bytes"] for row in rows[80 * group : 80 * group + 80]]
    assert sum(asked) <= 1.03 * len(sink.getvalue())
    fs.rm("/groups.parquet")


@pytest.mark.parametrize("place", ["disk", "store"])
def test_a_large_row_group_is_read_a_little_at_a_time(tmp_path, monkeypatch, place):
    images = [os.urandom(100_000) for _ in range(400)]
    path = tmp_path / "large.parquet"
    table = pa.table({"image": pa.array(images, pa.binary())})
    pq.write_table(table, path, use_dictionary=False, write_batch_size=4)
    uri = str(path) if place == "disk" else "memory://large.parquet"
    fsspec.filesystem("memory").pipe("/large.parquet", path.read_bytes())
    shard = Shard("parquet", uri, "large", path.stat().st_size, "1")
    members = ParquetReader().members(shard)
    taken = []
    original = PageGuard._passed_on

    def counted(self, read, size):
        data = original(self, read, size)
        taken.append(len(data))
        return data

    monkeypatch.setattr(PageGuard, "_passed_on", counted)
    assert list(ParquetReader().read(shard, members.slice(0, 20))) == images[:20]
    assert sum(taken) < 5 * 10**6
    assert list(ParquetReader().read(shard, members.slice(20))) == images[20:]
    fsspec.filesystem("memory").rm("/large.parquet")


def test_the_names_of_many_row_groups_are_asked_for_beside_each_other(monkeypatch):
    fs = fsspec.filesystem("memory")
    rows = [{"bytes": os.urandom(100_000), "path": f"{i}"} for i in range(40)]
    sink = io.BytesIO()
    table = pa.table({"image": pa.array(rows, HF), "label": list(range(40))})
    pq.write_table(table, sink, row_group_size=2)
    fs.pipe("/names.parquet", sink.getvalue())
    shard = Shard("parquet", "memory://names.parquet", "n", len(sink.getvalue()), "1")
    shard = dataclasses.replace(shard, layout=Layout("image.bytes", "image.path", "label"))
    expected = []
    original = RemoteFile.expect
    monkeypatch.setattr(
        RemoteFile, "expect", lambda self, parts: original(self, expected.extend(parts) or expected)
    )
    members = ParquetReader().members(shard)
    assert members["name"].to_pylist() == [row["path"] for row in rows]
    assert len(expected) == 40
    assert sum(end - start for start, end in expected) < 10_000
    fs.rm("/names.parquet")


def test_to_choose_a_column_the_first_row_group_is_enough(tmp_path, monkeypatch):
    table = hf_table(50, mask=[bytes(100)] * 50)
    groups = []
    original = pq.ParquetFile.iter_batches

    def counted(self, *args, **options):
        groups.extend(options["row_groups"])
        return original(self, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=5)
    [found] = discover([str(path)])
    assert found.layout.image == "image.bytes"
    assert set(groups) == {0}


def test_a_rewritten_file_is_not_read_from_memory(tmp_path):
    old = shard_of(tmp_path, hf_table(3))
    read(old)
    new = shard_of(tmp_path, hf_table(3).slice(1), version="2")
    assert read(new) == [jpeg(1, (9, 9)), jpeg(2, (9, 9))]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": HF, "label": pa.int64()}, Layout("image.bytes", "image.path", None)),
        ({"jpg": pa.binary(), "key": pa.string()}, Layout("jpg", "key", None)),
        (
            {"thumb": pa.binary(), "image": pa.large_binary(), "wnid": pa.string()},
            Layout("image", None, None),
        ),
        ({"photo": HF}, Layout("photo.bytes", "photo.path", None)),
        ({"photo": pa.binary(), "thumb": pa.binary()}, None),
        ({"path": pa.string(), "label": pa.int64()}, None),
    ],
)
def test_layout(columns, expected):
    assert layout(pa.schema(list(columns.items()))) == expected


def test_rows_without_a_name_are_numbered(tmp_path):
    rows = pa.array([{"bytes": b"a", "path": None}, {"bytes": b"b", "path": None}], HF)
    members = ParquetReader().members(shard_of(tmp_path, pa.table({"image": rows})))
    assert members["name"].to_pylist() == ["00000000", "00000001"]
    shard = shard_of(tmp_path, pa.table({"jpg": [b"a", b"b"]}), version="3")
    assert ParquetReader().members(shard)["name"].to_pylist() == ["00000000", "00000001"]
    assert read(shard) == [b"a", b"b"]


def test_null_and_large_images(tmp_path):
    rows = pa.array([None, {"bytes": None, "path": "x"}, {"bytes": b"12345", "path": "y"}], HF)
    shard = shard_of(tmp_path, pa.table({"image": rows}))
    reader = ParquetReader()
    out = list(reader.read(shard, reader.members(shard), max_bytes=4))
    assert [error.kind for error in out] == ["missing", "missing", "too_large"]


def test_damaged_page_costs_its_row_group(tmp_path):
    shard = shard_of(
        tmp_path,
        hf_table(30),
        row_group_size=10,
        write_page_checksum=True,
        use_dictionary=False,
        compression="none",
    )
    with open(shard.uri, "r+b") as file:
        place = file.read().index(jpeg(15, (9, 9)))
        file.seek(place + 20)
        file.write(b"damage")
    out = read(shard)
    assert [isinstance(item, bytes) for item in out] == [True] * 10 + [False] * 10 + [True] * 10
    assert {item.kind for item in out[10:20]} == {"bad_shard"}


def test_truncated_file(tmp_path):
    shard = shard_of(tmp_path, hf_table(3))
    os.truncate(shard.uri, shard.size - 10)
    (row,) = ParquetReader().members(shard).to_pylist()
    assert row["name"] == DAMAGED
    assert row["error"].startswith("bad_shard: Parquet damaged: ")


def test_name_that_is_no_utf8_is_damage(tmp_path):
    shard = shard_of(tmp_path, hf_table(3), compression="none", use_dictionary=False)
    path = tmp_path / "a.parquet"
    path.write_bytes(path.read_bytes().replace(b"_2.JPEG", b"\xff2.JPEG"))
    (row,) = [row for row in ParquetReader().members(shard).to_pylist() if row["error"]]
    assert row["error"].startswith("bad_shard: ")


def test_file_without_images(tmp_path):
    (row,) = ParquetReader().members(shard_of(tmp_path, pa.table({"x": [1]}))).to_pylist()
    assert "no column with image bytes" in row["error"]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_rows_or_errors(tmp_path_factory, data):
    shard = shard_of(
        tmp_path_factory.mktemp("p"), hf_table(6), row_group_size=3, write_page_checksum=True
    )
    with open(shard.uri, "r+b") as file:
        for _ in range(data.draw(st.integers(1, 4))):
            file.seek(data.draw(st.integers(0, shard.size - 1)))
            file.write(bytes([data.draw(st.integers(0, 255))]))
    local = read(shard)
    assert all(isinstance(item, bytes | ImageError) for item in local)
    # a store is read ahead by what the footer says
    with open(shard.uri, "rb") as file:
        fsspec.filesystem("memory").pipe("/damaged.parquet", file.read())
    remote = read(dataclasses.replace(shard, uri="memory://damaged.parquet"))
    assert list(map(outcome, remote)) == list(map(outcome, local))


def outcome(item: bytes | ImageError) -> bytes | str:
    return item.kind if isinstance(item, ImageError) else item
