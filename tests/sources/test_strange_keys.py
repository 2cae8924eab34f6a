import pytest
import s3fs

from tests.sources.samples import jpeg
from tests.support.stores.strange_s3 import strange_s3
from vggbatch.sources.discover import reader_for, survey
from vggbatch.sources.input_warnings import HIDDEN, MARKER, Names

KEYS = (
    *("p/a.jpg", "p//b.jpg", "p///c.jpg", "p/s//t//u.jpg", "/lead.jpg", "p/noext"),
    *("p/#h?q.jpg", "p/d e+f%41.jpg", "p/*[1]{a}.jpg", "p/caf\u00e9.jpg", "p/back\\slash.jpg"),
)
OBJECTS = {key: jpeg(number) for number, key in enumerate(KEYS)}
ODD = {"p/x.jpg/": jpeg(90), "p/sub/": b"", "p/../up.jpg": jpeg(91), "p/./dot.jpg": jpeg(92)}


@pytest.fixture
def bucket(monkeypatch):
    with strange_s3({**OBJECTS, **ODD, "p/.hidden": b""}) as environ:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield "s3://odd"
        s3fs.S3FileSystem.clear_instance_cache()


def test_every_key_is_read_as_it_is_or_counted(bucket):
    found = survey([bucket])
    assert found.left_out == {
        MARKER: Names(2, ("p/sub/", "p/x.jpg/")),
        HIDDEN: Names(1, ("p/.hidden",)),
    }
    (shard,) = found.shards
    members = shard.members
    contents = list(reader_for("files").read(shard, members))
    rows = dict(zip(shard.image_ids(members), contents, strict=True))
    for key in ("p/../up.jpg", "p/./dot.jpg"):
        # another object's bytes would come
        assert str(rows.pop(key)).startswith("unreadable: a name with the component . or ..")
    assert rows == OBJECTS


def test_a_folder_of_nothing_but_empty_names_ends(bucket):
    (shard,) = survey([f"{bucket}/p"]).shards
    names = shard.image_ids(shard.members)
    assert {"a.jpg", "/b.jpg", "//c.jpg", "s//t//u.jpg"} <= set(names)
    assert len(names) == len(set(names)) == 12
