"""Parquet of outputs that would take far more memory than it has bytes."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbatch.output.reader import open_parquet
from vggbatch.storage import parquet_check
from vggbatch.storage.parquet_check import OversizedError, open_checked

FREE = 2**20
"""Bytes that are always taken, in these tests."""


def repeated(length, count):
    """Rows that all have one long text, of a dictionary in the file."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), ["x" * length])


BOMBS = {
    "rows of nothing": lambda: pa.table({"image_id": pa.nulls(500_000, pa.string())}),
    "one long text": lambda: pa.table({"image_id": pa.array([b"\0" * (2 * FREE)])}),
    "a text that all rows have": lambda: pa.table({"error": repeated(30_000, 200)}),
    "a list of one text": lambda: pa.table(
        {"top5_synset": pa.ListArray.from_arrays([0, 200], repeated(30_000, 200))}
    ),
    "a list without end": lambda: pa.table(
        {"features": pa.ListArray.from_arrays([0, FREE], pa.nulls(FREE, pa.float32()))}
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_it_is_refused(monkeypatch, name):
    monkeypatch.setattr(parquet_check, "_FREE", FREE)
    monkeypatch.setattr(parquet_check, "_FREE_ROWS", FREE // 4)
    sink = pa.BufferOutputStream()
    pq.write_table(BOMBS[name](), sink, compression="zstd", row_group_size=2**30)
    data = sink.getvalue()
    assert data.size < 2000
    with pytest.raises(OversizedError):
        open_parquet(pa.BufferReader(data))


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none", "gzip", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_runs_write_is_not(compression, version):
    names = [f"/data/images/n01440764/n01440764_{number}.JPEG" for number in range(5_000)]
    synsets = pa.array([[f"n{i % 1000:08} a class, with names"] * 5 for i in range(5_000)])
    table = pa.table(
        {
            "image_id": names,
            "top5_synset": synsets,
            "error": pa.nulls(5_000, pa.string()),
            "label": pa.array([None, 3] * 2_500, pa.int32()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression, data_page_version=version)
    opened = open_checked(pa.BufferReader(sink.getvalue()))
    assert opened.read().equals(table)
