"""Stores that answer with fewer bytes than were asked for, and say nothing of it."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support import formats
from tests.support.stores.clients import fresh
from tests.support.stores.faulty_proxy import faulty
from vggbatch.bounded import read_bounded
from vggbatch.errors import ImageError, UsageError
from vggbatch.labels import load_labels
from vggbatch.sources.discover import discover, reader_for
from vggbatch.storage import complete, stores
from vggbatch.storage.complete import ShortRead, read_listed, read_range
from vggbatch.storage.ranges import Range, open_binary, read_ranges

DATA = bytes(range(256)) * 400


class Short:
    """A store that gives fewer bytes the first `times` of each range."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, []

    def read(self, path, start, end):
        self.asked.append((start, end))
        whole = DATA[start:end]
        return whole[: len(whole) // 2] if self.asked.count((start, end)) <= self.times else whole

    def size(self, path):
        return len(DATA)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(complete, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.001)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_short_answer_is_asked_for_again_whole(times):
    store = Short(times)
    assert read_range(store, "a", 100, 900) == DATA[100:900]
    assert store.asked == [(100, 900)] * (times + 1)


def test_a_file_that_stays_short_is_an_error_with_its_name():
    with pytest.raises(ShortRead, match=r"a\.tar was listed with more: .* 400 of 800 bytes"):
        read_listed(Short(99), "a", 100, 900, "a.tar")
    assert len(read_range(Short(99), "a", 100, 900)) == 400


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    fs.pipe("/complete/a", DATA)
    yield "memory://complete/a"
    fs.rm("/complete", recursive=True)


@pytest.mark.parametrize("store", ["disk", "memory"])
@pytest.mark.parametrize(("listed", "kind"), [(-1, "corrupt"), (0, None), (1, "truncated")])
def test_a_loose_file_of_another_size_than_was_listed(memory, tmp_path, store, listed, kind):
    (tmp_path / "a").write_bytes(DATA)
    uri = memory if store == "memory" else str(tmp_path / "a")
    (found,) = read_ranges([Range(uri, 0, len(DATA) + listed, whole=True)], 2**40)
    assert (found if kind is None else found.kind) == (kind or DATA)


def test_neighbors_of_what_is_missing_are_whole(memory):
    wanted = [Range(memory, len(DATA) - 300 + 100 * i, 100) for i in range(5)]
    *whole, cut, none = read_ranges(wanted, 2**40)
    assert whole == [DATA[-300:-200], DATA[-200:-100], DATA[-100:]]
    assert cut.kind == none.kind == "truncated"


def test_a_file_read_on_does_not_end_early(memory):
    file = open_binary(memory, len(DATA) + 1)
    assert file.read(100) == DATA[:100]
    with pytest.raises(ShortRead, match="complete/a was listed with more"):
        file.read()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Images in every format that is read by ranges."""
    folder = tmp_path_factory.mktemp("short")
    images = {f"{i:03}.jpg": jpeg(i, (120, 90)) for i in range(12)}
    (folder / "a.tar").write_bytes(tar_bytes(images))
    rows = {"image": list(images.values()), "file": list(images)}
    pq.write_table(pa.table(rows), folder / "a.parquet", row_group_size=5)
    records = [formats.recordio(formats.mxnet_pack(d, i, 1)) for i, d in enumerate(rows["image"])]
    (folder / "a.rec").write_bytes(b"".join(records))
    examples = [formats.tfrecord(formats.example({"image/encoded": d})) for d in rows["image"]]
    (folder / "a.tfrecord").write_bytes(b"".join(examples))
    (folder / "loose").mkdir()
    for name, data in images.items():
        (folder / "loose" / name).write_bytes(data)
    return folder, rows["image"]


def read_all(uri):
    found = []
    for shard in discover([uri]):
        reader = reader_for(shard.format)
        found += reader.read(shard, reader.members(shard))
    return found


SLOW = [
    pytest.param(client, name, marks=pytest.mark.slow)
    for client in ("_ArrowS3", "_Fsspec")
    for name in ("a.parquet", "a.rec", "a.tfrecord", "loose")
]


@pytest.mark.parametrize(("client", "name"), [("_ArrowS3", "a.tar"), ("_Fsspec", "a.tar"), *SLOW])
def test_every_format_from_an_s3_that_gives_fewer_bytes(tree, s3_server, monkeypatch, client, name):
    folder, images = tree
    fs = fsspec.filesystem("s3")
    bucket = f"short-{client[1:].lower()}-{name.replace('.', '')}"
    fs.mkdir(bucket)
    fs.put(str(folder / name), f"{bucket}/{name}", recursive=True)
    monkeypatch.setattr(stores, "arrow_reads", lambda *given: client == "_ArrowS3")
    with faulty(s3_server.endpoint, short=0.4) as (endpoint, counts):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for _ in range(9):
            fresh()
            assert read_all(f"s3://{bucket}/{name}") == images
            if counts["shortened"] > 1:
                break
        assert counts["shortened"] > 1
    with faulty(s3_server.endpoint, short=1) as (endpoint, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        fresh()
        found = read_all(f"s3://{bucket}/{name}")
    assert found
    assert all(isinstance(one, ImageError) for one in found)
    assert {one.kind for one in found} <= {"truncated"}
    fresh()


@pytest.mark.parametrize("client", ["_ArrowS3", "_Fsspec"])
def test_a_file_of_unknown_size_from_an_s3_that_gives_fewer_bytes(s3_server, monkeypatch, client):
    fs = fsspec.filesystem("s3")
    bucket = f"unknown-{client[1:].lower()}"
    fs.mkdir(bucket)
    # every last byte that there is, which is how an answer of Arrow's is looked at
    wanted = [DATA[: 700 + i] for i in range(256)]
    for i in range(0, 256, 5):
        fs.pipe(f"{bucket}/{i}", wanted[i])
    monkeypatch.setattr(stores, "arrow_reads", lambda *given: client == "_ArrowS3")
    with faulty(s3_server.endpoint, short=0.3) as (endpoint, counts):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        fresh()
        ranges = [Range(f"s3://{bucket}/{i}", 0, -1) for i in range(0, 256, 5)]
        assert list(read_ranges(ranges, 2**30)) == wanted[::5]
        assert counts["shortened"] > 5
    fresh()


def test_labels_that_come_short_are_refused(memory, monkeypatch):
    kind = type(fsspec.filesystem("memory"))
    real = kind.cat_file
    fs = fsspec.filesystem("memory")
    monkeypatch.setattr(kind, "cat_file", lambda self, path, **more: real(self, path, **more)[:-9])
    with pytest.raises(OSError, match="it came as 102391 of 102400 bytes, 4 times"):
        read_bounded(fs, "/complete/a", 2**20)
    fs.pipe("/complete/labels.csv", b"file,class_index\na.jpg,1\nb.jpg,2\n")
    with pytest.raises(UsageError, match="it came as 24 of 33 bytes"):
        load_labels("memory://complete/labels.csv", ["n01440764 tench"])
