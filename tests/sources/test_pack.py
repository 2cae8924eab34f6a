import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import read_all, write
from vggbatch.config import ColumnOptions
from vggbatch.errors import UsageError
from vggbatch.sources.base import DAMAGED
from vggbatch.sources.discover import discover, reader_for
from vggbatch.sources.pack import pack
from vggbatch.storage.filesystem import Folder


def labels(shards) -> list:
    tables = [reader_for(shard.format).members(shard) for shard in shards]
    return [label for table in tables for label in table["label"].to_pylist()]


@pytest.fixture
def images(tmp_path):
    files = {f"n0144076{i}/{i}.JPEG": jpeg(i) for i in range(6)}
    tar = tar_bytes({"x.a.jpg": jpeg(7), "x.a.cls": b"7", "y.jpg": jpeg(8)})
    return write(tmp_path / "in", {**files, "s.tar": tar})


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_the_same_images_and_labels_come_back(images, tmp_path, shard_format):
    out = str(tmp_path / "out")
    *_, totals = pack([images], out, shard_format=shard_format, shard_size=2 * len(jpeg(0)))
    shards = discover([out])
    assert len(shards) == totals.shards >= 3
    assert totals.images == 8
    packed = {name.partition("/")[2]: data for name, data in read_all(shards).items()}
    assert packed == read_all(discover([images]))
    assert labels(shards) == labels(discover([images]))


def test_two_images_with_one_key_go_to_two_shards(tmp_path):
    root = write(tmp_path / "in", {"a.jpg": jpeg(1), "a.png": jpeg(2)})
    *_, totals = pack([root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9)
    assert totals.shards == 2


def test_packing_again_gives_the_same_bytes(images, tmp_path):
    for out in ("one", "two"):
        list(pack([images], str(tmp_path / out), shard_format="tar", shard_size=10**9))
    one, two = ((tmp_path / out / "shard-000000.tar").read_bytes() for out in ("one", "two"))
    assert one == two


def test_what_cannot_be_read_is_told(tmp_path):
    tar = tar_bytes({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    root = write(tmp_path / "in", {"s.tar": tar[:3000]})
    *_, totals = pack([root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9)
    assert totals.images == 1
    assert totals.unread[0].startswith(f"s.tar/{DAMAGED}: bad_shard: ")


def names_and_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Dying:
    """Writes that many files, then no more: before, or after, the last one is there."""

    def __init__(self, folder, writes, *, after):
        self.folder, self.left, self.after = Folder(str(folder)), writes, after

    def write_bytes(self, name, data):
        self.left -= 1
        if self.left or self.after:
            self.folder.write_bytes(name, data)
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_a_set_that_was_interrupted_anywhere_is_refused_and_continued(
    images, tmp_path, shard_format, after
):
    write(tmp_path / "in", {"cut.tar": tar_bytes({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})[:3000]})
    for number, image in enumerate(({}, {"c.jpg": jpeg(3)}, {"d.jpg": b"", "e.jpg": jpeg(4)})):
        write(tmp_path / "in", {f"{number}.tar": tar_bytes({"x.cls": b"1", **image})})
    options = {"shard_format": shard_format, "shard_size": 2 * len(jpeg(0))}
    *_, whole = pack([images], str(tmp_path / "whole"), **options)
    assert whole.unread
    expected = names_and_bytes(tmp_path / "whole")
    writes = 2 * whole.shards + 2
    for count in range(1, writes + 1):
        out = tmp_path / f"out-{count}"
        with pytest.raises(KeyboardInterrupt):
            list(pack([images], str(out), writer=Dying(out, count, after=after), **options))
        if (out / f"shard-000000.{shard_format}").exists() and not (after and count == writes):
            with pytest.raises(UsageError, match=r"is an incomplete set, \d shards so far"):
                discover([str(out)])
        *_, totals = pack([images], str(out), **options)
        assert totals == whole
        assert names_and_bytes(out) == expected
    discover([str(out)])


def test_a_complete_set_is_left_as_it_is_and_what_it_lost_comes_back(images, tmp_path):
    options = {"shard_format": "tar", "shard_size": 2 * len(jpeg(0))}
    out = tmp_path / "out"
    *_, totals = pack([images], str(out), **options)
    expected = names_and_bytes(out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert list(pack([images], str(out), **options)) == [totals]
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    (out / "shard-000001.tar").unlink()
    with pytest.raises(UsageError, match=r"lacks shards .* shard-000001\.tar \(missing\)"):
        discover([str(out)])
    # what the user names need not be all of it
    assert len(discover([str(out / "shard-000000.tar")])) == 1
    list(pack([images], str(out), **options))
    (out / "shard-000002.tar").write_bytes(b"")
    with pytest.raises(UsageError, match=r"shard-000002\.tar \(of another size\)"):
        discover([str(out / "*.tar")])
    list(pack([images], str(out), **options))
    assert names_and_bytes(out) == expected


def test_other_settings_or_another_input_are_refused(images, tmp_path):
    options = {"shard_format": "tar", "shard_size": 10**9}
    list(pack([images], str(tmp_path / "out"), **options))
    for change in ({"shard_size": 10**6}, {"max_bytes": 10**6}):
        with pytest.raises(UsageError, match="from another input or with other settings"):
            list(pack([images], str(tmp_path / "out"), **(options | change)))
    write(tmp_path / "in", {"new.jpg": jpeg(99)})
    with pytest.raises(UsageError, match="from another input or with other settings"):
        list(pack([images], str(tmp_path / "out"), **options))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "\0" * 99])
def test_a_damaged_document_is_one_line(images, tmp_path, text):
    options = {"shard_format": "tar", "shard_size": 10**9}
    list(pack([images], str(tmp_path / "out"), **options))
    (tmp_path / "out/pack.json").write_text(text)
    for act in (discover, lambda found: list(pack([images], found[0], **options))):
        with pytest.raises(UsageError, match=r"pack\.json is damaged, or of another version"):
            act([str(tmp_path / "out")])


def test_large_images_are_left_out(tmp_path):
    root = write(tmp_path / "in", {"a.jpg": jpeg(1), "b.jpg": jpeg(2, (400, 300))})
    *_, totals = pack(
        [root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9, max_bytes=20_000
    )
    assert totals.images == 1
    assert totals.unread[0].startswith("b.jpg: too_large: ")


def test_names_stay_inside_the_folder_that_they_are_unpacked_into(tmp_path):
    bad = {
        "../../up.jpg": "s.tar/up.jpg",
        "/etc/abs.jpg": "s.tar/etc/abs.jpg",
        "a/../../b.jpg": "s.tar/a/b.jpg",
        "a\\..\\..\\win.jpg": "s.tar/a/win.jpg",
        "./here.jpg": "s.tar/here.jpg",
        "n..jpg": "s.tar/n..jpg",
    }
    data = tar_bytes({name: jpeg(i) for i, name in enumerate(bad)})
    root = write(tmp_path / "in", {"s.tar": data})
    list(pack([root], str(tmp_path / "out"), shard_format="tar", shard_size=10**9))
    with tarfile.open(tmp_path / "out/shard-000000.tar") as tar:
        assert sorted(tar.getnames()) == sorted(bad.values())


def test_shards_are_not_overwritten(images, tmp_path):
    out = write(tmp_path / "out", {"shard-000000.tar": b""})
    with pytest.raises(UsageError, match="has shards already"):
        next(pack([images], out, shard_format="tar", shard_size=1))


def test_the_named_column_is_packed(tmp_path):
    images = [[jpeg(number) for number in range(start, start + 2)] for start in (0, 2)]
    pq.write_table(pa.table({"left": images[0], "right": images[1]}), tmp_path / "a.parquet")
    for side, expected in zip(("left", "right"), images, strict=True):
        options = {"shard_format": "tar", "shard_size": 10**6, "columns": ColumnOptions(bytes=side)}
        list(pack([str(tmp_path / "a.parquet")], str(tmp_path / side), **options))
        (shard,) = discover([str(tmp_path / side)])
        reader = reader_for(shard.format)
        assert list(reader.read(shard, reader.members(shard))) == expected


def test_what_is_known_to_be_no_image_is_not_packed(tmp_path):
    files = {
        "a.jpg": jpeg(1),
        "b.jpg": b"<!DOCTYPE html><html>",
        "c.jpg": b"version https://git-lfs",
    }
    write(tmp_path / "in", {**files, "d.jpg": jpeg(2)[:300], "e.jpg": b"damaged beyond words \x80"})
    options = {"shard_format": "tar", "shard_size": 2**20}
    *_, totals = pack([str(tmp_path / "in")], str(tmp_path / "out"), **options)
    assert totals.images == 3
    assert [line[:16] for line in totals.unread] == ["b.jpg: not_image", "c.jpg: not_image"]
