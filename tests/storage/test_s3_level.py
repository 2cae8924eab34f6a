import random

import fsspec
import pytest

from vggbatch.storage import s3_level
from vggbatch.storage.s3_level import S3Level


@pytest.fixture(scope="module")
def names():
    chance = random.Random(0)
    return {
        "numbers": [f"val_{number:08d}.jpg" for number in range(0, 2500, 7)],
        "hashes": [f"{chance.getrandbits(64):016x}.jpg" for _ in range(300)],
        "mixed": [f"{i:03d}.jpg" for i in range(150)] + [f"{i:03d}/x.jpg" for i in range(90, 170)],
        "strange": [f"a{letter}{i}.jpg" for letter in " ~+\u00e9\u6f22" for i in range(30)],
        "few": ["a.jpg", "b.jpg"],
    }


@pytest.fixture
def bucket(s3_server, names):
    fs = fsspec.filesystem("s3")
    if not fs.exists("levels"):
        fs.mkdir("levels")
        for folder, files in names.items():
            fs.pipe({f"levels/{folder}/{name}": b"xy" for name in files})
    return fs


@pytest.mark.parametrize("folder", ["numbers", "hashes", "mixed", "strange", "few"])
@pytest.mark.parametrize("page", [1000, 20])
def test_each_name_comes_once(bucket, names, monkeypatch, folder, page):
    asked = []
    original = S3Level._page

    def small(self, start=None, count=page):
        asked.append(start)
        return original(self, start, count)

    monkeypatch.setattr(S3Level, "_page", small)
    entries = list(S3Level.of(bucket, f"levels/{folder}").entries(4))
    expected = sorted({name.partition("/")[0] for name in names[folder]})
    assert sorted(e["name"].removeprefix(f"levels/{folder}/") for e in entries) == expected
    assert all(e["ETag"] and e["size"] == 2 for e in entries if e["type"] == "file")
    assert {e["type"] for e in entries} == (
        {"file", "directory"} if folder == "mixed" else {"file"}
    )
    if page == 20 and folder in ("numbers", "hashes"):
        assert len([start for start in asked if start and "StartAfter" in start]) > 10


def test_times_are_read_without_dateutil_and_the_same(bucket, monkeypatch):
    before = bucket.call_s3("list_objects_v2", Bucket="levels", Prefix="few/")["Contents"]
    asked = []
    original = s3_level._time
    monkeypatch.setattr(s3_level, "_time", lambda value: asked.append(value) or original(value))
    entries = list(S3Level.of(bucket, "levels/few").entries(1))
    assert len(asked) == len(entries) == 2
    assert {e["Key"]: e["LastModified"] for e in entries} == {
        e["Key"]: e["LastModified"] for e in before
    }


@pytest.mark.parametrize(
    "text", ["2026-11-24T15:00:00.123Z", "2026-11-24T15:00:00Z", "Tue, 24 Nov 2026 15:00:00 GMT"]
)
def test_every_form_of_time(text):
    from botocore.utils import parse_timestamp

    assert s3_level._time(text) == parse_timestamp(text)


def test_parts_are_bounded(bucket, monkeypatch):
    monkeypatch.setattr(s3_level, "_MOST_CUTS", 3)
    assert len(list(S3Level.of(bucket, "levels/hashes").entries(4))) == 300
