import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import read_all, write
from vggbatch.errors import UsageError
from vggbatch.sources.base import Member
from vggbatch.sources.discover import discover, reader_for, survey
from vggbatch.sources.formats.manifest import below_common_folder
from vggbatch.sources.input_warnings import (
    ARCHIVE,
    EMPTY,
    LEFT_OUT,
    NO_IMAGES,
    SAME_NAME,
    input_warning,
)


def test_folder_of_images_and_shards(tmp_path):
    root = write(
        tmp_path,
        {
            "n01440764/a.JPEG": jpeg(1),
            "b.png": jpeg(2),
            "labels.csv": b"file,label\n",
            "README": b"",
            "shards/0.tar": tar_bytes({"c.jpg": jpeg(3)}),
        },
    )
    found = survey([root])
    assert [s.format for s in found.shards] == ["tar", "files"]
    assert found.input_warnings == (input_warning(LEFT_OUT, ["README", "labels.csv"]),)
    assert read_all(found.shards) == {
        "n01440764/a.JPEG": jpeg(1),
        "b.png": jpeg(2),
        "0.tar/c.jpg": jpeg(3),
    }


def test_surprises_are_counted_with_three_examples(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "metrics.parquet")
    files = {f"a/{i}.jpg": jpeg(1) for i in range(4)} | {f"b/{i}.jpg": jpeg(2) for i in range(2)}
    files |= {"a/empty.jpg": b"", "a/none.tar": b"", "a/old.zip": b"PK", "a/x.tar.gz": b"gz"}
    files |= {f"a/{i}.txt": b"" for i in range(5)}
    write(tmp_path, files)
    found = survey([str(tmp_path)])
    assert {(odd.what, odd.count, odd.examples) for odd in found.input_warnings} == {
        (LEFT_OUT, 5, ("a/0.txt", "a/1.txt", "a/2.txt")),
        (ARCHIVE, 2, ("a/old.zip", "a/x.tar.gz")),
        (NO_IMAGES, 1, ("metrics.parquet",)),
        (EMPTY, 2, ("a/empty.jpg", "a/none.tar")),
    }
    found = survey([str(tmp_path / "a"), str(tmp_path / "b")])
    same = next(odd for odd in found.input_warnings if odd.what == SAME_NAME)
    assert (same.count, same.examples) == (2, ("0.jpg", "1.jpg"))


def test_order_and_overlap_of_inputs_do_not_matter(tmp_path):
    root = write(tmp_path, {"d/a.jpg": jpeg(1), "d/s.tar": tar_bytes({"b.jpg": jpeg(2)})})
    one = discover([root])
    assert discover([f"{root}/d", root, f"{root}/d/*.jpg", root]) == one
    assert discover([root, f"{root}/d"]) == one
    assert list(read_all(one)) == ["s.tar/b.jpg", "d/a.jpg"]


def test_shard_names_are_paths_only_where_needed(tmp_path):
    tar = tar_bytes({"x.jpg": jpeg(1)})
    root = write(tmp_path, {"a/s.tar": tar, "b/s.tar": tar, "c/t.tar": tar})
    assert [s.name for s in discover([root])] == ["a/s.tar", "b/s.tar", "t.tar"]
    assert [s.name for s in discover([f"{root}/b", f"{root}/a"])] == ["s.tar", "s.tar#2"]


def test_a_folder_named_like_a_shard_does_not_clash(tmp_path):
    root = write(tmp_path, {"x/s.tar": tar_bytes({"a.jpg": jpeg(1)}), "s.tar/a.jpg": jpeg(2)})
    assert read_all(discover([root])) == {"s.tar#2/a.jpg": jpeg(1), "s.tar/a.jpg": jpeg(2)}


def test_single_files_are_named_below_their_common_folder(tmp_path):
    root = write(tmp_path, {"a/x.jpg": jpeg(1), "b/x.jpg": jpeg(2), "c/strange.bin": jpeg(3)})
    files = [f"{root}/b/x.jpg", f"{root}/a/x.jpg", f"{root}/c/strange.bin"]
    assert read_all(discover(files)) == {
        "c/strange.bin": jpeg(3),
        "a/x.jpg": jpeg(1),
        "b/x.jpg": jpeg(2),
    }
    assert read_all(discover(files[:1])) == {"x.jpg": jpeg(2)}


def test_list_file_of_shards_and_images(tmp_path):
    root = write(
        tmp_path,
        {
            "s.tar": tar_bytes({"a.jpg": jpeg(1)}),
            "b c.jpg": jpeg(2),
            "list.txt": b"s.tar\nb c.jpg\n",
        },
    )
    assert read_all(discover([f"{root}/list.txt"])) == {"s.tar/a.jpg": jpeg(1), "b c.jpg": jpeg(2)}


@pytest.mark.parametrize(
    ("files", "inputs", "message"),
    [
        ({}, ["none"], "no such file"),
        ({"d/a.md": b""}, ["d"], "no images and no shards in .*: only 1 other files"),
        ({"a.tar.gz": b""}, ["a.tar.gz"], "compressed tar"),
        ({}, [], "no input given"),
    ],
)
def test_usage_errors(tmp_path, files, inputs, message):
    write(tmp_path, files)
    with pytest.raises(UsageError, match=message):
        discover([str(tmp_path / i) for i in inputs])


def test_names_that_are_not_utf8_are_images_and_shards_like_others(tmp_path):
    root = write(tmp_path / "x", {"a.jpg": jpeg(0), "b.tar": tar_bytes({"0.jpg": jpeg(1)})})
    for old, new in (("a.jpg", b"caf\xe9.jpg"), ("b.tar", b"caf\xe9.tar")):
        os.rename(f"{root}/{old}", os.fsencode(root) + b"/" + new)
    shards = discover([root])
    assert read_all(shards) == {"caf\\xe9.jpg": jpeg(0), "caf\\xe9.tar/0.jpg": jpeg(1)}
    for shard in shards:
        for source in shard.sources(reader_for(shard.format).members(shard)):
            assert source.startswith("file:///")
            assert "caf%E9" in source


def ids_of(*inputs):
    found = survey([str(uri) for uri in inputs])
    return sorted(
        (name, os.path.realpath(source))
        for shard in found.shards
        for name, source in zip(
            shard.members["name"].to_pylist(), shard.members["source"].to_pylist(), strict=True
        )
    )


@pytest.mark.parametrize("images", ["a.jpg b.jpg", "a/1.jpg b/1.jpg", "1.jpg b/1.jpg"])
def test_names_do_not_depend_on_how_the_images_were_named(tmp_path, images):
    root, images = tmp_path / "images", images.split()
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    expected = [(name, str(root / name)) for name in sorted(images)]
    assert ids_of(root) == expected
    assert ids_of(f"{root}/") == expected
    assert ids_of(f"{root}/**/*.jpg") == expected
    assert ids_of(*[root / name for name in images]) == expected  # as a shell does
    for place, line in [
        (tmp_path / "list.txt", "{path}"),
        (tmp_path / "list.txt", "images/{name}"),
        (root / "list.txt", "{name}"),
        (tmp_path / "other/list.csv", "{path},5"),
        (tmp_path / "other/list.txt", "../images/{name}"),
    ]:
        place.parent.mkdir(exist_ok=True)
        lines = [line.format(name=name, path=root / name) for name in images]
        header = ["path,label"] if place.suffix == ".csv" else []
        place.write_text("\n".join([*header, *lines]))
        assert ids_of(place) == expected
        place.unlink()


def test_names_of_a_list_over_several_stores_and_the_web():
    def names(*sources):
        members = [Member(source, 0, -1, None, source) for source in sources]
        return [member.name for member in below_common_folder(members)]

    assert names("s3://b/x/a.jpg", "s3://b/x/y/b.jpg") == ["a.jpg", "y/b.jpg"]
    assert names("s3://b/a.jpg", "s3://c/a.jpg") == ["s3://b/a.jpg", "s3://c/a.jpg"]
    assert names("https://h/x/a.jpg", "/d/b.jpg", "/d/e/c.jpg") == (
        ["https://h/x/a.jpg", "b.jpg", "e/c.jpg"]
    )
    assert names("/a/x.jpg", "/d/b.jpg") == ["/a/x.jpg", "/d/b.jpg"]
    assert names("/d/a.jpg") == ["a.jpg"]


@pytest.mark.parametrize(
    ("log", "columns", "table"),
    [
        ("_delta_log/00000000000000000001.json", {}, "Delta Lake"),
        ("metadata/v2.metadata.json", {}, "Iceberg"),
        (".hoodie/hoodie.properties", {"_hoodie_commit_time": ["1"]}, "Hudi"),
    ],
)
def test_tables_with_a_log_of_what_counts_are_refused(tmp_path, log, columns, table):
    """Their folders have the files of earlier versions, too."""
    folder = tmp_path / "images"
    (folder / log).parent.mkdir(parents=True)
    (folder / log).write_text("{}")
    for version in (0, 1):
        rows = pa.table({"image": [jpeg(version)], **columns})
        pq.write_table(rows, folder / f"part-{version}.parquet")
    with pytest.raises(UsageError, match=f"images is a table of {table}, whose log"):
        discover([str(folder)])
    (shard,) = discover([str(folder / "part-1.parquet")])
    assert shard.name == "part-1.parquet"
    assert len(discover([str(folder / "part-*.parquet")])) == 2
    (folder / "part-0.parquet").unlink()
    (folder / "part-1.parquet").unlink()
    (folder / "a.jpg").write_bytes(jpeg(1))
    assert len(discover([str(folder)])) == 1
