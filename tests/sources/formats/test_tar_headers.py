import dataclasses
import io
import random
import tarfile

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.samples import jpeg, requests_of_memory, tar_bytes
from vggbatch.sources.base import Shard
from vggbatch.sources.formats import tar_headers
from vggbatch.sources.formats.tar import TarReader

SMALL = {"_LEAST": 0, "_WINDOW": 40_960, "_WALKS": 4, "_PIECE": 2048, "_HOP": 1024, "_FAR": 2048}


@pytest.fixture
def requests(monkeypatch):
    """The ranges asked of a store in memory; walks are of a few kilobytes."""
    for name, value in SMALL.items():
        monkeypatch.setattr(tar_headers, name, value)
    return requests_of_memory(monkeypatch)


def both(tmp_path, data: bytes) -> tuple[list[dict], list[dict]]:
    """Members of a tar on disk and in a store."""
    (tmp_path / "a.tar").write_bytes(data)
    fsspec.filesystem("memory").pipe("/headers.tar", data)
    shard = Shard("tar", str(tmp_path / "a.tar"), "a.tar", len(data), "1")
    remote = dataclasses.replace(shard, uri="memory://headers.tar")
    return [TarReader().members(one).to_pylist() for one in (shard, remote)]


def photographs(count: int, size: int = 9000) -> dict[str, bytes]:
    draw = random.Random(count)
    return {f"{i:05}.jpg": draw.randbytes(draw.randint(size // 2, size)) for i in range(count)}


def test_headers_alone_are_read(tmp_path, requests):
    data = tar_bytes(photographs(200))
    disk, store = both(tmp_path, data)
    assert store == disk
    assert len(store) == 200
    assert sum(end - start for start, end in requests) < len(data) / 2
    # a few requests look for the first header of a segment
    assert len(requests) < 2.5 * len(store)


def test_full_size_walks_read_little(tmp_path, requests, monkeypatch):
    monkeypatch.undo()
    data = tar_bytes({f"{i:03}.jpg": bytes(1_800_000) for i in range(80)})
    asked = []
    original = tar_headers.RemoteFile.fetch

    def counted(self, start, end):
        asked.append(end - start)
        return original(self, start, end)

    monkeypatch.setattr(tar_headers.RemoteFile, "fetch", counted)
    disk, store = both(tmp_path, data)
    assert store == disk
    assert len(store) == 80
    assert len(asked) > 64


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_header(tmp_path, requests, format):
    files = {}
    for number, (name, data) in enumerate(photographs(60).items()):
        long = "folder/" * 20 if format != tarfile.USTAR_FORMAT and number % 3 == 0 else ""
        files[f"{long}{name}"] = data
        files[f"{long}{name[:-4]}.cls"] = str(number).encode()
        files[f"{long}{name[:-4]}.json"] = b"{}" * (number * 50)
    disk, store = both(tmp_path, tar_bytes(files, format))
    assert store == disk
    assert [row["label"] for row in store] == [str(number) for number in range(60)]


def test_tars_in_tars_one_after_the_other_and_by_another_name(tmp_path, requests):
    inner = {f"n0144076{i}.tar": tar_bytes(photographs(9 + i)) for i in range(5)}
    hidden = {"backup.bin": tar_bytes(photographs(20)), "last.jpg": jpeg(1)}
    data = tar_bytes({**inner, **hidden}) + tar_bytes(photographs(11))
    disk, store = both(tmp_path, data)
    assert store == disk
    assert len(store) == sum(range(9, 14)) + 1 + 11


def test_an_old_tar_without_a_sign_in_its_headers(tmp_path, requests):
    data = bytearray(tar_bytes(photographs(20)))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            header = data[info.offset : info.offset + 512]
            header[257:265] = bytes(8)
            header[148:156] = b" " * 8
            header[148:156] = f"{sum(header):06o}\0 ".encode()
            data[info.offset : info.offset + 512] = header
    disk, store = both(tmp_path, bytes(data))
    assert store == disk
    assert len(store) == 20


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_tars_give_the_same_rows_as_on_disk(tmp_path_factory, data):
    raw = bytearray(tar_bytes(photographs(12, 3000)))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SMALL, "_WINDOW": 8192}.items():
            patch.setattr(tar_headers, name, value)
        disk, store = both(tmp_path_factory.mktemp("t"), bytes(raw))
    assert store == disk
