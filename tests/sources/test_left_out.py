"""Every file, member and object is a row, or is counted by kind with three names."""

import os

import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import read_all, write
from vggbatch.errors import ImageError, UsageError
from vggbatch.sources.base import left_out_of
from vggbatch.sources.discover import reader_for, survey
from vggbatch.sources.input_warnings import (
    ARCHIVE,
    DEAD_LINK,
    FURTHER,
    HIDDEN,
    LEFT_OUT,
    NO_MEMBERS,
    PICTURE,
    RAW,
    SPECIAL,
    VIDEO,
    LeftOut,
    Names,
    merged,
)
from vggbatch.storage.filesystem import Folder

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
OTHERS = {
    "photo": jpeg(1),
    "photo.jpg_large": jpeg(2),
    "photo.jpg~": jpeg(3),
    "IMG_1.JPG.1": jpeg(4),
    "index.php@id=7": jpeg(5),
    "3f2a9c.heic": jpeg(6),
    "real.HEIC": HEIC,
    "checksums.md5": b"d41d8",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "page": b"<html>",
    "raw.NEF": b"II*\0",
    "clip.mp4": b"",
    "more.tar.gz": b"\x1f\x8b",
    "blob": b"PK\3\4",
    "logo.svg": b"<svg>",
    "._photo.jpg": b"\0\5\x16\7",
}
ROWS = {"photo", "photo.jpg_large", "photo.jpg~", "IMG_1.JPG.1", "index.php@id=7", "3f2a9c.heic"}
ROWS |= {"real.HEIC"}
KINDS = {
    LEFT_OUT: Names(3, ("Thumbs.db", "checksums.md5", "page")),
    RAW: Names(1, ("raw.NEF",)),
    VIDEO: Names(1, ("clip.mp4",)),
    ARCHIVE: Names(2, ("blob", "more.tar.gz")),
    PICTURE: Names(1, ("logo.svg",)),
    HIDDEN: Names(1, ("._photo.jpg",)),
}


def test_in_a_folder_content_decides(tmp_path):
    found = survey([write(tmp_path, OTHERS)])
    assert set(read_all(found.shards)) == ROWS
    assert found.left_out == KINDS


def test_in_a_tar_content_decides(tmp_path):
    write(tmp_path, {"t.tar": tar_bytes(OTHERS)})
    (shard,) = survey([str(tmp_path / "t.tar")]).shards
    members = reader_for("tar").members(shard)
    assert set(members["name"].to_pylist()) == ROWS
    expected = {
        w: Names(n.count, tuple(f"t.tar/{e}" for e in n.examples)) for w, n in KINDS.items()
    }
    assert left_out_of(members) == expected


def test_in_a_bucket_content_decides(s3_server):
    import fsspec

    fs = fsspec.filesystem("s3")
    fs.mkdir("leftout")
    fs.pipe({f"leftout/f/{name}": data for name, data in OTHERS.items()})
    found = survey(["s3://leftout/f"])
    assert set(read_all(found.shards)) == ROWS
    assert found.left_out == KINDS


def test_shards_without_a_suffix_are_found(tmp_path):
    write(tmp_path, {"blobs/3f2a": tar_bytes({"x.jpg": jpeg(1)}), "blobs/77": jpeg(2)})
    (tmp_path / "snapshot").mkdir()
    for name in ("3f2a", "77"):
        (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{name}")
    found = survey([str(tmp_path / "snapshot")])
    assert read_all(found.shards) == {"3f2a/x.jpg": jpeg(1), "77": jpeg(2)}


def test_overlapping_inputs_count_once(tmp_path):
    root = write(tmp_path, {"a/x.jpg": jpeg(1), "a/x.txt": b"", "a/.y": b"", "a/noise": b"\x80"})
    found = survey([root, f"{root}/a", f"{root}/*"])
    assert {what: names.count for what, names in found.left_out.items()} == {LEFT_OUT: 2, HIDDEN: 1}


def test_special_files_and_dead_links_without_an_images_name(tmp_path):
    root = write(tmp_path, {"x.jpg": jpeg(1)})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "shard.tar")
    found = survey([root])
    assert found.left_out == {SPECIAL: Names(1, ("pipe",)), DEAD_LINK: Names(2, ("gone", "loop"))}
    rows = read_all(found.shards)
    assert (rows["x.jpg"], str(rows["shard.tar"])) == (
        jpeg(1),
        "unreadable: a named pipe, and no file",
    )


def test_masks_and_labels_of_samples(tmp_path):
    files = {"0.jpg": jpeg(1), "0.seg.png": jpeg(2), "0.cls": b"7", "0.json": b"{}"}
    write(tmp_path, {"w.tar": tar_bytes(files)})
    (shard,) = survey([str(tmp_path)]).shards
    members = reader_for("tar").members(shard)
    assert members.select(["name", "label"]).to_pylist() == [{"name": "0.jpg", "label": "7"}]
    assert left_out_of(members) == {
        FURTHER: Names(1, ("w.tar/0.seg.png",)),
        LEFT_OUT: Names(2, ("w.tar/0.cls", "w.tar/0.json")),
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.tar", tar_bytes({})), ("b.tar", tar_bytes({".x": b""})), ("c.tfrecord", b"")],
)
def test_shards_without_images_are_counted(tmp_path, name, data):
    write(tmp_path, {name: data, "x.jpg": jpeg(1)})
    (shard, _) = survey([str(tmp_path)]).shards
    members = reader_for(shard.format).members(shard)
    assert (len(members), left_out_of(members)[NO_MEMBERS]) == (0, Names(1, (name,)))


def test_an_index_that_was_kept_still_says_it(tmp_path):
    write(tmp_path, {"w.tar": tar_bytes({"0.jpg": jpeg(1), "0.txt": b""})})
    (shard,) = survey([str(tmp_path / "w.tar")]).shards
    cache = Folder(str(tmp_path / "cache"))
    first = reader_for("tar").members(shard, cache)
    os.unlink(tmp_path / "w.tar")
    again = reader_for("tar").members(shard, cache)
    assert again.equals(first)
    assert left_out_of(again) == left_out_of(first) == {LEFT_OUT: Names(1, ("w.tar/0.txt",))}


def test_counts_stay_small_and_do_not_depend_on_the_order():
    one, other = LeftOut(), LeftOut()
    for number in range(10_000):
        one.add(LEFT_OUT, f"{number:05}")
        other.add(LEFT_OUT, f"{9_999 - number:05}")
    assert one.kinds == other.kinds == {LEFT_OUT: Names(10_000, ("00000", "00001", "00002"))}
    assert merged(one.kinds, {ARCHIVE: Names(1, ("x",))})[ARCHIVE].count == 1
    assert LeftOut.from_json(one.to_json()).kinds == one.kinds


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.tar", b"\x1f\x8b\x08", "no tar but gzip-compressed data: decompress it first"),
        ("a.tar", b"version https://git-lfs.github.com", "a Git LFS pointer: run `git lfs pull`"),
        ("a.parquet", b"version https://git-lfs.github.com", "a Git LFS pointer"),
        ("a.parquet", b"<html><head>" + bytes(20), "no parquet but a web page (HTML)"),
        ("a.tfrecord", b"\x1f\x8b\x08" + bytes(20), "gzip-compressed data"),
        ("a.rec", b"PK\3\4" + bytes(20), "no recordio but a zip archive"),
    ],
)
def test_a_shard_that_is_none_says_what_it_is(tmp_path, name, data, said):
    (shard,) = survey([write(tmp_path, {name: data})]).shards
    (row,) = read_all([shard]).values()
    assert isinstance(row, ImageError)
    assert (row.kind, said in row.message) == ("bad_shard", True)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("i.zip", b"PK\3\4", "is a zip archive"),
        ("a.tfrecord.gz", b"\x1f\x8b", "is gzip-compressed data"),
        ("t.tar.gz", b"\x1f\x8b", "compressed tar"),
        ("blob", b"PK\3\4", "is a zip archive"),
    ],
)
def test_an_archive_that_was_named_is_refused(tmp_path, name, data, said):
    root = write(tmp_path, {name: data, "x.jpg": jpeg(1)})
    with pytest.raises(UsageError, match=said):
        survey([f"{root}/{name}"])
    assert survey([root]).left_out[ARCHIVE].count == 1
    assert len(survey([f"{root}/*"]).shards) == 1


def test_a_list_with_a_shard_that_is_gone_costs_one_row(tmp_path):
    root = write(tmp_path, {"l.txt": b"gone.tar\nx.jpg\n", "x.jpg": jpeg(1)})
    rows = read_all(survey([f"{root}/l.txt"]).shards)
    assert rows["x.jpg"] == jpeg(1)
    assert str(rows["gone.tar"]).startswith("missing: no such file")
