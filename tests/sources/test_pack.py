import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.sources.test_discover import read_all, write
from vggbatch.errors import UsageError
from vggbatch.sources.base import DAMAGED
from vggbatch.sources.discover import discover, reader_for
from vggbatch.sources.pack import pack


def labels(shards) -> list:
    tables = [reader_for(shard.format).members(shard) for shard in shards]
    return [label for table in tables for label in table["label"].to_pylist()]


@pytest.fixture
def images(tmp_path):
    files = {f"n0144076{i}/{i}.JPEG": jpeg(i) for i in range(6)}
    tar = tar_bytes({"x.a.jpg": jpeg(7), "x.a.cls": b"7", "y.jpg": jpeg(8)})
    return write(tmp_path / "in", {**files, "s.tar": tar})


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_the_same_images_and_labels_come_back(images, tmp_path, shard_format):
    out = str(tmp_path / "out")
    *_, totals = pack([images], out, shard_format=shard_format, shard_size=2 * len(jpeg(0)))
    shards = discover([out])
    assert len(shards) == totals.shards >= 3
    assert totals.images == 8
    packed = {name.partition("/")[2]: data for name, data in read_all(shards).items()}
    assert packed == read_all(discover([images]))
    assert labels(shards) == labels(discover([images]))


def test_two_images_with_one_key_go_to_two_shards(tmp_path):
    root = write(tmp_path / "in", {"a.jpg": jpeg(1), "a.png": jpeg(2)})
    *_, totals = pack([root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9)
    assert totals.shards == 2


def test_packing_again_gives_the_same_bytes(images, tmp_path):
    for out in ("one", "two"):
        list(pack([images], str(tmp_path / out), shard_format="tar", shard_size=10**9))
    one, two = ((tmp_path / out / "shard-000000.tar").read_bytes() for out in ("one", "two"))
    assert one == two


def test_what_cannot_be_read_is_told(tmp_path):
    tar = tar_bytes({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    root = write(tmp_path / "in", {"s.tar": tar[:3000]})
    *_, totals = pack([root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9)
    assert totals.images == 1
    assert totals.unread[0].startswith(f"s.tar/{DAMAGED}: bad_shard: ")


def test_shards_are_not_overwritten(images, tmp_path):
    out = write(tmp_path / "out", {"shard-000000.tar": b""})
    with pytest.raises(UsageError, match="has shards already"):
        next(pack([images], out, shard_format="tar", shard_size=1))
