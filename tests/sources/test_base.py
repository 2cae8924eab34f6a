import pickle

import pytest

from vggbatch.errors import ImageError
from vggbatch.sources.base import (
    MEMBERS_SCHEMA,
    Member,
    Reader,
    Shard,
    members_table,
    with_unique_names,
)
from vggbatch.storage.filesystem import Folder


class Halves(Reader):
    """A toy format: the first byte is the number of bytes in each member."""

    format = "halves"

    def __init__(self):
        self.walks = 0

    def index(self, file, shard):
        self.walks += 1
        size = file.read(1)[0]
        offset = 1
        while data := file.read(size):
            if data == b"!" * size:
                raise ImageError("bad_shard", "stop sign")
            yield Member("m", offset, size)
            offset += size

    def payload(self, data):
        if data.startswith(b"?"):
            raise ImageError("corrupt", "a question")
        return data.upper()


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "s.halves").write_bytes(b"\x02aabb??cc!!dd")
    return Shard("halves", str(tmp_path / "s.halves"), "s.halves", 13, "v1")


def test_members_keep_what_came_before_damage(shard):
    members = Halves().members(shard)
    assert members.schema == MEMBERS_SCHEMA
    assert members["name"].to_pylist() == ["m", "m#2", "m#3", "m#4", "#damaged"]
    assert members["error"].to_pylist() == [None] * 4 + ["bad_shard: stop sign"]
    assert shard.image_ids(members)[1] == "s.halves/m#2"
    assert shard.sources(members)[0] == shard.uri


def test_read_gives_payload_or_error_in_order(shard):
    reader = Halves()
    out = list(reader.read(shard, reader.members(shard)))
    assert [o if isinstance(o, bytes) else str(o) for o in out] == [
        b"AA",
        b"BB",
        "corrupt: a question",
        b"CC",
        "bad_shard: stop sign",
    ]


def test_read_limits_bytes(shard):
    reader = Halves()
    (error,) = reader.read(shard, reader.members(shard).slice(0, 1), max_bytes=1)
    assert str(error) == "too_large: 2 bytes are more than max_bytes 1"


def test_index_is_cached_by_version(shard, tmp_path):
    (tmp_path / "s.halves").write_bytes(b"\x02aabb")
    cache = Folder(str(tmp_path / "cache"))
    reader = Halves()
    first = reader.members(shard, cache)
    assert reader.members(shard, cache).equals(first)
    assert reader.walks == 1
    other = Shard("halves", shard.uri, shard.name, shard.size, "v2")
    reader.members(other, cache)
    assert reader.walks == 2


def test_damaged_index_is_not_cached(shard, tmp_path):
    cache = Folder(str(tmp_path / "cache"))
    reader = Halves()
    reader.members(shard, cache)
    reader.members(shard, cache)
    assert reader.walks == 2


def test_listed_members_pickle(tmp_path):
    members = members_table(with_unique_names([Member("a", 0, 1), Member("a", 0, 2)]))
    shard = Shard("files", "", "", 3, "v", members)
    assert pickle.loads(pickle.dumps(shard)).members.equals(members)
    assert shard.image_ids(members) == ["a", "a#2"]


def test_a_format_has_one_method_to_write():
    assert Reader.__abstractmethods__ == {"index"}


def test_secrets_stay_out_of_sources():
    members = members_table([Member("a", 0, -1, source="https://u:p@h/a.jpg?sig=1")])
    assert Shard("files", "", "", 0, "v", members).sources(members) == ["https://h/a.jpg"]
