"""How many images a run expects, while its shards are opened one by one."""

import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.images import cut, jpeg
from vggbatch import api
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.output.image_total import Total, estimated_images
from vggbatch.output.progress import Progress
from vggbatch.sources import Shard, discover
from vggbatch.sources.base import Member, members_table


def tar(number, size, group=0):
    return number, group, Shard("tar", f"/{number}.tar", f"{number}.tar", size, "v")


def seen(total):
    return total.images, total.exact


def test_listed_files_are_counted():
    members = members_table([Member(f"{i}.jpg", 0, 1) for i in range(7)])
    assert seen(Total([(0, 0, Shard("files", "", "", 7, "v", members))], Progress())) == (7, True)


def test_shards_are_estimated_by_the_images_of_those_that_were_opened():
    total = Total([tar(0, 260_000), tar(1, 1_000), tar(2, 3_000)], Progress())
    assert seen(total) == (3, False)
    total.opened(1, 10)
    assert seen(total) == (10 + 2630, False)
    total.opened(1, 10)
    total.opened(2, 30)
    assert seen(total) == (40 + 2600, False)
    total.opened(0, 5)
    assert seen(total) == (45, True)


def test_each_unopened_shard_has_an_image_at_least():
    assert seen(Total([tar(0, 0), tar(1, -1), tar(2, 5)], Progress())) == (3, False)


def test_what_earlier_runs_opened_is_known():
    progress = Progress()
    members = members_table([Member("a.jpg", 0, 1), Member("b.jpg", 0, 1)])
    listed = (0, 0, Shard("files", "", "", 2, "v", members))
    progress.close(0, [0, 1], {"rows": 12, "files": []})
    progress.commit(ChunkKey(1, 2, 0, 4, 16), 4)
    shards = [listed, tar(1, 1_000), tar(2, 1_600, group=1), tar(3, 800, group=1)]
    total = Total(shards, progress)
    assert seen(total) == (2 + 10 + 16 + 8, False)
    total.opened(3, 7)
    assert seen(total) == (35, True)


def test_a_damaged_shard_that_has_fewer_than_it_said():
    total = Total([(0, 0, Shard("parquet", "/a", "a", 9, "v", images=100))], Progress())
    assert seen(total) == (100, True)
    total.opened(0, 41)
    assert seen(total) == (41, True)


@pytest.fixture
def folder(tmp_path):
    """Tiny images in a tar and a Parquet file."""
    data = jpeg(cut(0, width=40, height=40))
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for number in range(30):
            (tmp_path / "x.jpg").write_bytes(data)
            file.add(tmp_path / "x.jpg", f"{number}.jpg")
    (tmp_path / "x.jpg").unlink()
    pq.write_table(pa.table({"image": [data] * 12}), tmp_path / "b.parquet")
    return tmp_path


def test_parquet_files_are_counted_with_the_listing(folder):
    assert [estimated_images(shard) for shard in discover([str(folder)])] == [1, 12]


def test_a_run_knows_all_once_the_shards_are_open(folder, net, tmp_path):
    snapshots = []
    api.score(
        str(folder),
        output=str(tmp_path / "out"),
        model=str(net),
        chunk_size=8,
        on_progress=snapshots.append,
    )
    assert {(one.total, one.exact) for one in snapshots} >= {(42, True)}
    assert (snapshots[-1].rows, snapshots[-1].total) == (42, 42)
