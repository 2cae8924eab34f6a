"""Appends, retries, erasures and merges in a bucket, killed at random writes and repeated."""

import random

import pytest

from tests.support.images import cut, jpeg, write_folder
from tests.support.night import Night, killed_at
from tests.support.stores import s3
from vggbatch import api
from vggbatch.storage.filesystem import Folder

KILLS = 20


class Bucket:
    """The same night with its output in a bucket; it is put back from a copy before each kill."""

    def __init__(self, night, store):
        self.night, self.store = night, store
        self.base, self.out = Folder(f"{store}/base"), Folder(f"{store}/out")
        night.score(out=self.base.uri)

    def clear(self):
        for name in names_in(self.out):
            self.out.delete(name)

    def put_back(self):
        self.clear()
        for name in names_in(self.base):
            self.out.write_bytes(name, self.base.read_bytes(name))

    def rows(self):
        """By run.json, as any reader that goes by it."""
        table = api.load_predictions(self.out.uri)
        listed = {info.path for info in self.out.list("predictions")}
        assert {file["name"] for file in api.load_run(self.out.uri)["files"]} <= listed
        return table.sort_by("image_id").to_pylist()


def names_in(folder):
    folder.fs.invalidate_cache()
    return [path.removeprefix(f"{folder.root}/") for path in folder.fs.find(folder.root)]


@pytest.fixture
def store(tmp_path):
    with s3.bucket(tmp_path / "s3") as uri:
        yield uri


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["append", "retry", "forget", "merge"])
def test_killed_twenty_times_in_a_bucket(net, tmp_path, store, monkeypatch, what):
    night = Night(tmp_path, net)
    bucket = Bucket(night, f"{store}/{what}")
    gone = ["00002.jpg", "a.tar/00101.jpg"]
    if what == "append":
        write_folder(night.images, 4, start=20)
    if what == "retry":
        (night.images / "00003x.jpg").write_bytes(jpeg(cut(50)))
    parts = [f"{store}/{what}/part-{number}" for number in (1, 2)]
    if what == "merge":
        for number, part in enumerate(parts, 1):
            night.score(out=part, select={"part": f"{number}/2"})
    command = {
        "append": lambda: night.score(out=bucket.out.uri, append=True),
        "retry": lambda: night.score(out=bucket.out.uri, retry="errors"),
        "forget": lambda: api.forget(bucket.out.uri, gone),
        "merge": lambda: api.merge(parts, bucket.out.uri),
    }[what]

    def start():
        if what == "merge":
            bucket.clear()
        else:
            bucket.put_back()

    start()
    before = bucket.rows() if what != "merge" else None
    command()
    expected = bucket.rows()
    assert expected != before
    count = operations(command, start, monkeypatch)
    assert count > KILLS // 2
    drawn = random.Random(7)
    for number in [drawn.randrange(count) for _ in range(KILLS)]:
        start()
        assert killed_at(number, command, monkeypatch), number
        if what != "merge":
            assert bucket.rows() in (before, expected), number
        command()
        assert bucket.rows() == expected, number
        names = {info.path for info in bucket.out.list("predictions")}
        assert names == {file["name"] for file in api.load_run(bucket.out.uri)["files"]}, number


def operations(command, start, monkeypatch):
    """How many writes and deletions the command has."""
    low, high = 0, 400
    while low < high:
        middle = (low + high) // 2
        start()
        if killed_at(middle, command, monkeypatch):
            low = middle + 1
        else:
            high = middle
    return low
