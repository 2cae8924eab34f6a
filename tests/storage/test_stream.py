import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbatch.storage import stream
from vggbatch.storage.stream import RemoteFile

MEGABYTE = 2**20


@pytest.fixture
def opened():
    """A file of 64 MB that is all zeros, and the ranges asked for."""
    asked = []

    def read(start, end):
        asked.append((start, end))
        return bytes(end - start)

    with ThreadPoolExecutor(4) as pool:
        yield RemoteFile(read, 64 * MEGABYTE, pool), asked


def test_reading_on_reads_ahead_and_each_byte_once(opened):
    file, asked = opened
    total = 0
    while data := file.read(100_000):
        total += len(data)
    assert total == 64 * MEGABYTE
    assert sum(end - start for start, end in asked) == total
    assert len(asked) == 65


def test_what_is_ahead_is_bounded(opened):
    file, asked = opened
    for _ in range(300):
        file.read(100_000)
        assert max(end for _, end in asked) <= file.tell() + 17 * MEGABYTE


def test_jumps_read_little(opened):
    file, asked = opened
    for number in range(12):
        file.seek(number * 5 * MEGABYTE)
        file.read(512)
    assert sum(end - start for start, end in asked) <= 13 * 2**16 + 2 * MEGABYTE


def test_a_short_jump_reads_on(opened):
    file, asked = opened
    for number in range(100):
        file.seek(number * 300_000)
        file.read(512)
    assert sum(end - start for start, end in asked) <= 30_000_000 + 18 * MEGABYTE
    assert len(asked) < 60


def test_looking_back_a_little_asks_for_nothing(opened):
    file, asked = opened
    file.read(3 * MEGABYTE)
    before = len(asked)
    file.seek(2 * MEGABYTE)
    file.read(1000)
    assert len(asked) == before


def test_what_is_expected_is_asked_for_at_once_and_no_more(opened):
    file, asked = opened
    file.expect(10, 4 * MEGABYTE)
    assert file.read(0) == b""
    file.seek(10)
    while file.tell() < 4 * MEGABYTE:
        file.read(min(100_000, 4 * MEGABYTE - file.tell()))
    assert sum(end - start for start, end in asked) == 4 * MEGABYTE - 10
    assert file.read(10) == bytes(10)


def test_a_file_that_became_shorter():
    with ThreadPoolExecutor(1) as pool:
        file = RemoteFile(lambda start, end: bytes(50)[start:end], 100, pool)
        assert file.read() == bytes(50)
        assert file.read(10) == b""


def test_errors_come_to_the_reader():
    def refuse(start, end):
        raise PermissionError("no")

    with ThreadPoolExecutor(1) as pool, pytest.raises(PermissionError):
        RemoteFile(refuse, 100, pool).read(1)


@settings(max_examples=200, deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 700)), max_size=30),
    size=st.integers(0, 3000),
)
def test_reads_as_a_file_in_memory_does(moves, size):
    data = bytes(i * 7 % 251 for i in range(size))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        for name, value in {"PIECE": 100, "_HOP": 16, "_NEAR": 90, "_KEPT": 150}.items():
            patch.setattr(stream, name, value)
        ours, truth = RemoteFile(lambda a, b: data[a:b], size, pool), io.BytesIO(data)
        for place, count in moves:
            assert ours.seek(place) == truth.seek(place)
            assert ours.read(count) == truth.read(count)
            assert ours.tell() == truth.tell()
        assert ours.seek(-size, io.SEEK_END) == 0
        assert ours.read() == data


def test_tarfile_reads_it():
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for number in range(20):
            info = tarfile.TarInfo(f"{number}" * 60)
            info.size = number * 1000
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    data = sink.getvalue()
    with ThreadPoolExecutor(2) as pool:
        file = RemoteFile(lambda a, b: data[a:b], len(data), pool)
        with tarfile.open(fileobj=file) as ours, tarfile.open(fileobj=io.BytesIO(data)) as truth:
            assert ours.getnames() == truth.getnames()
