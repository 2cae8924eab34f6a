"""Shards and label files made to cost time and memory end as rows with errors, or one line."""

import gzip
import io
import struct
import tarfile
import zlib

import pytest

from tests.support.images import cut, jpeg
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.labels import load_labels
from vggbatch.sources import reader_for
from vggbatch.sources.base import Shard
from vggbatch.sources.tfrecord import masked_crc32c

PHOTO = jpeg(cut(1))
CLASSES = tuple(f"n{i:08} a" for i in range(1000))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def pax(text: bytes) -> bytes:
    record = b" " + text + b"\n"
    length = len(record) + len(str(len(record) + 2))
    return member("p", str(length).encode() + record, tarfile.XHDTYPE)


END = bytes(1024)
GOOD = member("a.jpg", PHOTO)


def nested(depth: int) -> bytes:
    data = GOOD + END
    for _ in range(depth):
        data = member("t.tar", data) + END
    return data


TARS = {
    "3,000 archives one after the other": (GOOD + END) * 3000,
    "a negative size": GOOD + header("b.jpg", -(2**40)) + END,
    "a negative size of its own length": GOOD + header("b.jpg", -512) + GOOD + END,
    "a negative PAX size": GOOD + pax(b"size=-4096") + GOOD + END,
    "PAX headers after each other": GOOD + pax(b"a=b") * 2000 + GOOD + END,
    "a huge PAX header": GOOD + header("p", 2**40, tarfile.XHDTYPE) + bytes(2**16),
    "a huge long name": GOOD + header("p", 2**40, tarfile.GNUTYPE_LONGNAME) + bytes(2**16),
    "a PAX size that is no number": GOOD + pax(b"size=x") + GOOD + END,
    "sparse without a map": GOOD + pax(b"GNU.sparse.major=1") + GOOD + END,
    "tars in tars": nested(600),
}


def rows(tmp_path, data: bytes, kind: str) -> list[tuple[str, str | None]]:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    shard = Shard(kind, str(path), path.name, len(data), "")
    members = reader_for(kind).members(shard)
    return list(zip(members["name"].to_pylist(), members["error"].to_pylist(), strict=True))


@pytest.mark.parametrize("data", TARS.values(), ids=TARS)
def test_hostile_tars_end(tmp_path, data):
    found = rows(tmp_path, data, "tar")
    assert found[0][0].endswith("a.jpg") or found[0][1]
    if data is TARS["3,000 archives one after the other"]:
        assert len(found) == 3000
        assert not any(error for _, error in found)


def test_tars_in_tars_have_a_depth(tmp_path):
    assert rows(tmp_path, nested(3), "tar") == [("t.tar/t.tar/t.tar/a.jpg", None)]
    ((_, error),) = rows(tmp_path, nested(5), "tar")
    assert "deep" in error


def test_a_huge_record_is_not_read(tmp_path):
    length = struct.pack("<Q", 2**32)
    path = tmp_path / "a.tfrecord"
    with path.open("wb") as file:
        file.write(length + struct.pack("<I", masked_crc32c(length)))
        file.truncate(12 + 2**32 + 4)  # nothing on the disk
    shard = Shard("tfrecord", str(path), path.name, path.stat().st_size, "")
    members = reader_for("tfrecord").members(shard)
    assert members["error"].to_pylist() == [f"too_large: a record of {2**32} bytes"]


def test_an_unknown_format_is_one_line():
    with pytest.raises(VggbatchError, match="no shard format 'zip'"):
        reader_for("zip")


def mat(content: bytes) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    packed = zlib.compress(content, 9)
    return head + struct.pack("<II", 15, len(packed)) + packed


def devkit(meta: bytes, truth: bytes = b"1\n") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("meta.mat", meta), ("ILSVRC2012_validation_ground_truth.txt", truth)):
            info = tarfile.TarInfo(f"devkit/data/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


def dimensions(*sizes: int) -> bytes:
    dims = struct.pack(f"<II{len(sizes)}i", 5, 4 * len(sizes), *sizes)
    dims += bytes(-len(dims) % 8)
    body = struct.pack("<IIII", 6, 8, 2, 0) + dims
    body += struct.pack("<HH4s", 1, 4, b"syns") + struct.pack("<II", 5 | 4 << 16, 8)
    return struct.pack("<II", 14, len(body)) + body


DEVKITS = {
    "a large member": devkit(bytes(2**28)),
    "many archives": gzip.compress((GOOD + END) * 3000, 1),
    "members of gzip": gzip.compress(bytes(2**20)) * 300,
    "no gzip": b"\x1f\x8b" + bytes(100),
    "cut short": devkit(mat(b""))[:-20],
    "a negative size": gzip.compress(TARS["a negative size"]),
    "a compressed variable": devkit(mat(bytes(2**28))),
    "a variable of many elements": devkit(mat(dimensions(2**15, 2**15))),
    "no MATLAB file": devkit(b"x" * 200),
    "a MATLAB file that is cut": devkit(mat(dimensions(1, 1))[:140]),
}


@pytest.mark.parametrize("data", DEVKITS.values(), ids=DEVKITS)
def test_hostile_development_kits_are_one_line(tmp_path, data):
    path = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load_labels(str(path), CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[[" + "1" * 5000 + "]]"])
def test_hostile_json_is_one_line(tmp_path, text):
    path = tmp_path / "real.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        load_labels(str(path), CLASSES)
