import time

import pytest

from tests.sources.samples import tar_bytes
from vggbatch.errors import ImageError
from vggbatch.sources import discover, reader_for
from vggbatch.sources.ahead import ReadAhead
from vggbatch.storage.filesystem import filesystem

IMAGES = {f"{number:03d}.jpg": bytes([number]) * 100_000 for number in range(250)}


@pytest.fixture
def shard():
    """A tar in a store, of more bytes than may wait, and its members."""
    uri = "memory://ahead/images.tar"
    fs, path = filesystem(uri)
    fs.pipe_file(path, tar_bytes(IMAGES))
    [found] = discover([uri])
    return found, reader_for("tar").members(found)


def test_several_chunks_are_read_as_if_one_by_one(shard):
    found, members = shard
    ahead = ReadAhead(2)
    begun = [ahead.read(found, members.slice(start, 50), 2**30) for start in range(0, 250, 50)]
    read = [data for contents in begun for data in contents]
    assert read == list(IMAGES.values())


def test_what_is_wrong_with_an_image_comes_in_its_place(shard):
    found, members = shard
    contents = ReadAhead(1).read(found, members, 99_999)
    assert all(isinstance(item, ImageError) and item.kind == "too_large" for item in contents)


def test_a_chunk_that_is_closed_lets_the_next_one_begin(shard):
    found, members = shard
    ahead = ReadAhead(1)
    first = ahead.read(found, members, 2**30)
    second = ahead.read(found, members.slice(0, 1), 2**30)
    assert next(first) == IMAGES["000.jpg"]
    first.close()
    assert list(second) == [IMAGES["000.jpg"]]


def test_a_store_that_does_not_answer_is_an_error_where_the_images_are_taken(shard, monkeypatch):
    found, members = shard

    def refuse(*arguments):
        raise OSError("gone")

    monkeypatch.setattr("vggbatch.storage.ranges._fetch", refuse)
    contents = ReadAhead(1).read(found, members, 2**30)
    with pytest.raises(OSError, match="gone"):
        list(contents)


def test_no_more_waits_than_may(shard):
    found, members = shard
    contents = ReadAhead(1).read(found, members, 2**30)
    taken = [next(contents)]
    time.sleep(0.5)
    assert contents._waiting < 9 * 2**20
    assert [*taken, *contents] == list(IMAGES.values())


def test_a_disk_needs_nothing_ahead(tmp_path):
    path = tmp_path / "images.tar"
    path.write_bytes(tar_bytes(IMAGES))
    [found] = discover([str(path)])
    assert ReadAhead(1).read(found, reader_for("tar").members(found), 2**30) is None
