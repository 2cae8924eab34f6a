import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbatch.chunks import chunk
from vggbatch.sources import MEMBERS_SCHEMA, Shard
from vggbatch.sources.base import Layout

LAYOUT = Layout("left.bytes", None, "label")


def members(count, start=0):
    return pa.Table.from_pylist(
        [
            {"name": f"{i}.jpg", "offset": 512 * i, "size": i, "label": None if i % 2 else str(i)}
            for i in range(start, start + count)
        ],
        schema=MEMBERS_SCHEMA,
    )


def shard(name="a.tar", table=None, layout=None):
    return Shard("tar", f"/data/{name}", name, 10, "v1", table, layout=layout)


def test_shards_survive_the_way_through_a_table():
    shards = [
        (0, 0, shard(layout=LAYOUT)),
        (1, 0, shard("b", members(3))),
        (2, 1, shard("c", members(0))),
    ]
    back = list(chunk.shards_of(chunk.shard_table(shards)))
    assert [(n, g) for n, g, _ in back] == [(0, 0), (1, 0), (2, 1)]
    for (_, _, old), (_, _, new) in zip(shards, back, strict=True):
        assert replace(old, members=None) == replace(new, members=None)
        assert (old.members is None) == (new.members is None)
        if old.members is not None:
            assert new.members.to_pylist() == old.members.to_pylist()


@settings(deadline=None)
@given(count=st.integers(0, 50), size=st.integers(1, 20))
def test_every_member_is_in_one_chunk_in_order(count, size):
    parts = list(chunk.split(7, 2, shard(layout=LAYOUT), members(count), size))
    keys = [chunk.key_of(part) for part in parts]
    assert [key.chunk for key in keys] == list(range(len(parts)))
    assert {(key.group, key.shard, key.chunks) for key in keys} == {(2, 7, len(parts))}
    shards = [next(chunk.shards_of(part))[2] for part in parts]
    assert {one.layout for one in shards} == {LAYOUT}
    tables = [one.members for one in shards]
    assert all(table.num_rows <= size for table in tables)
    assert pa.concat_tables(tables).to_pylist() == members(count).to_pylist()


def cuts_of(runs, size):
    table = members(len(runs)).set_column(6, "run", pa.array(runs, pa.int32()))
    parts = chunk.split(0, 0, shard(), table, size)
    return [next(chunk.shards_of(part))[2].members.num_rows for part in parts]


def test_what_is_stored_as_one_is_one_chunk_where_it_can():
    groups = [group for group in range(3) for _ in range(100)]
    assert cuts_of(groups, 32) == [100, 100, 100]
    assert cuts_of(groups, 250) == [200, 100]
    assert cuts_of([0] * 300, 32) == [100, 100, 100]
    assert cuts_of([0] * 300, 256) == [150, 150]
    assert cuts_of([*[0] * 10, *[1] * 10, *[2] * 20, None], 32) == [20, 21]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), max_size=8),
    size=st.integers(1, 300),
)
def test_cuts_are_bounded_and_leave_nothing_out(lengths, size):
    runs = [number for number, length in enumerate(lengths) for _ in range(length)]
    cuts = cuts_of(runs, size)
    assert sum(cuts) == len(runs)
    assert max(cuts) <= max(size, 128)
    for place in list(itertools.accumulate(cuts))[:-1]:
        assert runs[place] != runs[place - 1] or lengths[runs[place]] > max(size, 128)


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
