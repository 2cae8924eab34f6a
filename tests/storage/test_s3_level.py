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
    files, folders = S3Level.of(bucket, f"levels/{folder}").split(4)
    entries = list(files)
    found = [entry["name"] for entry in entries]
    found += [f"levels/{below.prefix.rstrip('/')}" for below in folders]
    expected = sorted({name.partition("/")[0] for name in names[folder]})
    assert sorted(name.removeprefix(f"levels/{folder}/") for name in found) == expected
    assert all(e["ETag"] and e["size"] == 2 and e["type"] == "file" for e in entries)
    assert bool(folders) == (folder == "mixed")
    if page == 20 and folder in ("numbers", "hashes"):
        assert len([start for start in asked if start and "StartAfter" in start]) > 10


def test_parts_are_bounded(bucket, monkeypatch):
    monkeypatch.setattr(s3_level, "_MOST_CUTS", 3)
    files, _ = S3Level.of(bucket, "levels/hashes").split(4)
    assert len(list(files)) == 300
