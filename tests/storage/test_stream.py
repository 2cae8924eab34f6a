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
    assert len(asked) == 33


def test_what_is_ahead_is_bounded(opened):
    file, asked = opened
    for _ in range(300):
        file.read(100_000)
        assert max(end for _, end in asked) <= file.tell() + 18 * MEGABYTE


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
    file.expect([(10, 9 * MEGABYTE)])
    assert file.read(0) == b""
    file.seek(10)
    while file.tell() < 9 * MEGABYTE:
        file.read(min(100_000, 9 * MEGABYTE - file.tell()))
    assert sum(end - start for start, end in asked) == 9 * MEGABYTE - 10
    assert len(asked) == 3
    assert file.read(10) == bytes(10)


def test_small_parts_that_are_expected_are_asked_for_beside_each_other(opened):
    file, asked = opened
    parts = [(number * MEGABYTE, number * MEGABYTE + 1000) for number in range(60)]
    file.expect(parts)
    file.seek(0)
    file.read(10)
    assert len(file._extents) == 33
    for start, _ in parts:
        file.seek(start)
        assert file.read(1000) == bytes(1000)
    assert sorted(asked) == parts


def test_neighbors_that_are_expected_are_one_request(opened):
    file, asked = opened
    file.expect([(0, 100), (50_000, 50_100), (10 * MEGABYTE, 10 * MEGABYTE + 1)])
    file.seek(10 * MEGABYTE)
    assert file.read(1) == bytes(1)
    assert sorted(asked) == [(0, 50_100), (10 * MEGABYTE, 10 * MEGABYTE + 1)]


def test_what_a_damaged_file_says_is_not_expected(opened):
    file, asked = opened
    file.expect([(-5, 10), (70 * MEGABYTE, 80 * MEGABYTE), (9, 3), (5 * MEGABYTE, 2**62), (0, 9)])
    assert file.read(10) == bytes(10)
    assert all(0 <= start < end <= 64 * MEGABYTE for start, end in asked)


def test_short_hops_read_as_far_ahead_as_reading_on(opened):
    file, _ = opened
    for number in range(200):
        file.seek(number * 100_000)
        file.read(12)
    assert len(file._extents) >= 8


def test_a_buffer_of_one_request_is_no_copy(opened):
    file, _ = opened
    file.expect([(0, 64 * MEGABYTE)])
    buffer = file.read_buffer(1000)
    assert buffer == bytes(1000)
    assert len(buffer.obj) == 4 * MEGABYTE
    file.seek(4 * MEGABYTE - 10)
    assert file.read_buffer(20) == bytes(20)


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
    expected=st.lists(st.tuples(st.integers(-9, 4000), st.integers(-9, 4000)), max_size=9),
)
def test_reads_as_a_file_in_memory_does(moves, size, expected):
    data = bytes(i * 7 % 251 for i in range(size))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        sizes = {"PIECE": 100, "_HOP": 16, "_NEAR": 90, "_KEPT": 150, "_EXPECTED": 200}
        sizes |= {"_TOGETHER": 30, "_MOST_AHEAD": 400, "_PARTS_AHEAD": 3}
        for name, value in sizes.items():
            patch.setattr(stream, name, value)
        ours, truth = RemoteFile(lambda a, b: data[a:b], size, pool), io.BytesIO(data)
        ours.expect(expected)
        for place, count in moves:
            assert ours.seek(place) == truth.seek(place)
            assert ours.read(count) == truth.read(count)
            assert ours.tell() == truth.tell()
            assert ours.seek(place) == truth.seek(place)
            assert ours.read_buffer(count) == truth.read(count)
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
