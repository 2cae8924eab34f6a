import fsspec
import pytest

from tests.sources.samples import requests_of_memory
from vggbatch.errors import ImageError
from vggbatch.storage import ranges
from vggbatch.storage.ranges import Range, open_binary, read_ranges

DATA = bytes(range(256)) * 4000


@pytest.fixture
def requests(monkeypatch):
    """A file in memory, and the ranges that were asked of its store."""
    fs = fsspec.filesystem("memory")
    fs.pipe("/ranges/a", DATA)
    yield requests_of_memory(monkeypatch)
    fs.rm("/ranges", recursive=True)


def read(*wanted, max_bytes: int = 2**40) -> list:
    return list(read_ranges(wanted, max_bytes))


def memory(offset: int, size: int) -> Range:
    return Range("memory://ranges/a", offset, size)


def test_neighbors_are_one_request(requests):
    wanted = [memory(i * 1000, 900) for i in range(50)]
    assert read(*wanted) == [DATA[r.offset : r.offset + 900] for r in wanted]
    assert requests == [(0, 49_900)]


def test_far_and_backward_ranges_are_requests_of_their_own(requests):
    wanted = [memory(700_000, 10), memory(0, 10), memory(500_000, 10), memory(5, 10)]
    assert read(*wanted) == [DATA[r.offset : r.offset + 10] for r in wanted]
    assert len(requests) == 4


def test_requests_are_bounded(requests, monkeypatch):
    monkeypatch.setattr(ranges, "_TOGETHER", (2000, 4000))
    monkeypatch.setattr(ranges, "_AHEAD", 2**16)
    wanted = [memory(i * 1000, 1000) for i in range(100)]
    assert b"".join(read(*wanted)) == DATA[:100_000]
    following = [(i, min(i + 4000, 100_000)) for i in range(2000, 100_000, 4000)]
    assert sorted(requests) == [(0, 2000), *following]


def test_reading_ahead_is_bounded(requests, monkeypatch):
    monkeypatch.setattr(ranges, "_TOGETHER", (1,))
    monkeypatch.setattr(ranges, "_AHEAD", 4 * 2**16)
    out = read_ranges([memory(i * 7, 5) for i in range(1000)], 2**40)
    next(out)
    assert len(requests) <= 6


def test_errors_of_one_file_do_not_touch_the_others(requests):
    given = ImageError("corrupt", "known before")
    out = read(memory(0, 3), given, Range("memory://ranges/none", 0, 3), memory(len(DATA) - 1, 3))
    assert out[0] == DATA[:3]
    assert out[1] is given
    assert [error.kind for error in out[2:]] == ["missing", "truncated"]


def test_unknown_sizes(requests, tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    local = Range(str(tmp_path / "a"), 0, -1)
    assert read(memory(0, -1), local) == [DATA, b"12345"]
    assert [error.kind for error in read(memory(0, -1), local, max_bytes=4)] == ["too_large"] * 2


def test_s3(s3_server):
    fs = fsspec.filesystem("s3")
    fs.mkdir("ranges")
    fs.pipe({"ranges/a": DATA, "ranges/empty": b""})
    assert read(Range("s3://ranges/a", 5, 10), Range("s3://ranges/a", 10**5, 10)) == [
        DATA[5:15],
        DATA[10**5 : 10**5 + 10],
    ]
    assert read(*(Range("s3://ranges/empty", 0, size) for size in (0, -1))) == [b"", b""]
    missing, ended = read(Range("s3://ranges/none", 0, 5), Range("s3://ranges/a", 2**30, 5))
    assert (missing.kind, ended.kind) == ("missing", "truncated")
    with open_binary("s3://ranges/a", len(DATA)) as file:
        file.seek(1000)
        assert file.read(5) == DATA[1000:1005]
