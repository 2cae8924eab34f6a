import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.pipeline import chunk
from vggbatch.sources import MEMBERS_SCHEMA, Shard


def members(count, start=0):
    return pa.Table.from_pylist(
        [
            {"name": f"{i}.jpg", "offset": 512 * i, "size": i, "label": None if i % 2 else str(i)}
            for i in range(start, start + count)
        ],
        schema=MEMBERS_SCHEMA,
    )


def shard(name="a.tar", table=None):
    return Shard("tar", f"/data/{name}", name, 10, "v1", table)


def test_shards_survive_the_way_through_a_table():
    shards = [(0, 0, shard()), (1, 0, shard("b", members(3))), (2, 1, shard("c", members(0)))]
    back = list(chunk.shards_of(chunk.shard_table(shards)))
    assert [(n, g) for n, g, _ in back] == [(0, 0), (1, 0), (2, 1)]
    for (_, _, old), (_, _, new) in zip(shards, back, strict=True):
        assert (old.format, old.uri, old.name, old.version) == (
            new.format,
            new.uri,
            new.name,
            new.version,
        )
        assert (old.members is None) == (new.members is None)
        if old.members is not None:
            assert new.members.to_pylist() == old.members.to_pylist()


@given(count=st.integers(0, 50), size=st.integers(1, 20))
def test_every_member_is_in_one_chunk_in_order(count, size):
    parts = list(chunk.split(7, 2, shard(), members(count), size))
    keys = [chunk.key_of(part) for part in parts]
    assert [key.chunk for key in keys] == list(range(len(parts)))
    assert {(key.group, key.shard, key.chunks) for key in keys} == {(2, 7, len(parts))}
    tables = [next(chunk.shards_of(part))[2].members for part in parts]
    assert all(table.num_rows <= size for table in tables)
    assert pa.concat_tables(tables).to_pylist() == members(count).to_pylist()


def test_an_empty_shard_is_one_empty_chunk():
    (part,) = chunk.split(0, 0, shard(), members(0), 8)
    assert next(chunk.shards_of(part))[2].members.num_rows == 0


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 4, 4, 3), (5, 4, 4, 3)])
def test_arrays_travel_without_a_copy(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    table = pa.table({"crops": chunk.bytes_of(array)})
    back = chunk.array_of(table["crops"], np.uint8, (-1, 4, 4, 3))
    np.testing.assert_array_equal(back, array)
    if array.size:
        assert np.shares_memory(back, array)
