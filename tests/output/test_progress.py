"""What is committed counts once, and what is left is known."""

from vggbatch.chunks.chunk import ChunkKey, shards_of
from vggbatch.output.progress import Progress
from vggbatch.sources import Shard

SHARDS = [(number, number, Shard("tar", f"/{number}", "x", 1, "v")) for number in range(3)]


def test_a_chunk_is_committed_once():
    progress = Progress()
    key = ChunkKey(0, 3, 1, 2, 8)
    assert progress.commit(key, 4)
    assert not progress.commit(key, 4)
    assert progress.rows == 4
    progress.commit(ChunkKey(0, 3, 0, 2, 8), 4)
    assert progress.shard_complete(3)
    progress.close(0, [3], {"rows": 8, "files": []})
    assert progress.rows == 8
    assert not progress.commit(key, 4)
    assert not progress.chunks


def test_what_is_left_is_what_no_group_and_no_chunk_covers():
    progress = Progress()
    progress.close(0, [0], {"rows": 8, "files": []})
    progress.commit(ChunkKey(1, 1, 0, 1, 4), 4)
    progress.commit(ChunkKey(2, 2, 1, 3, 12), 4)
    assert [number for number, _, _ in progress.left(SHARDS)] == [2]
    table = progress.to_score(SHARDS, [ChunkKey(2, 2, 2, 3, 12), ChunkKey(9, 9, 0, 1, 1)])
    assert table["done"].to_pylist() == [[], [0], [1, 2]]
    assert [number for number, _, _ in shards_of(table.drop_columns("done"))] == [0, 1, 2]
