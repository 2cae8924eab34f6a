"""Parquet as its writers write it."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg
from tests.support.formats import HF_IMAGE
from tests.support.shards import read_all
from vggbatch.config import ColumnOptions
from vggbatch.errors import UsageError
from vggbatch.sources.discover import reader_for, survey
from vggbatch.sources.input_warnings import NO_IMAGES
from vggbatch.sources.tables.columns import Reading

B = [jpeg(number) for number in range(4)]
ROWS = [f"{number:08}" for number in range(4)]
BYTES = pa.struct([("bytes", pa.binary())])


def hf(images, paths="abcd"):
    return [{"bytes": b, "path": p} for b, p in zip(images, paths, strict=True)]


PLAIN = {
    "struct without path": pa.array([{"bytes": b} for b in B], BYTES),
    "large": pa.array(B, pa.large_binary()),
    "view": pa.array(B, pa.binary_view()),
    "dictionary": pa.array(B).dictionary_encode(),
    "dictionary in a struct": pa.StructArray.from_arrays(
        [pa.array(B).dictionary_encode()], ["bytes"]
    ),
    "struct of large": pa.array(
        [{"bytes": b} for b in B], pa.struct([("bytes", pa.large_binary())])
    ),
}


def written(path, columns, **options):
    try:
        pq.write_table(pa.table(columns), path, **options)
    except pa.ArrowNotImplementedError as error:  # views, by an older pyarrow
        pytest.skip(str(error))
    return str(path)


@pytest.mark.parametrize("image", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("name", ["image", "photo", "my.image"])
def test_bytes_in_any_form(tmp_path, image, name):
    path = written(tmp_path / "a.parquet", {name: image, "label": [0, 1, 2, 3]}, row_group_size=3)
    (shard,) = survey([path]).shards
    assert shard.images == 4
    assert read_all([shard]) == {f"a.parquet/{row}": b for row, b in zip(ROWS, B, strict=True)}


def test_names_beside_the_bytes_as_a_view(tmp_path):
    columns = {"image": pa.array(B, pa.binary_view()), "file": pa.array(list("wxyz"))}
    path = written(tmp_path / "a.parquet", columns)
    assert list(read_all(survey([path]).shards)) == [f"a.parquet/{name}" for name in "wxyz"]


def test_an_image_below_other_structs(tmp_path):
    kind = pa.struct([("photo", HF_IMAGE), ("caption", pa.string())])
    data = [{"photo": image, "caption": ""} for image in hf(B)]
    path = written(tmp_path / "a.parquet", {"sample": pa.array([*data, None], kind)})
    rows = read_all(survey([path]).shards)
    assert [rows[f"a.parquet/{name}"] for name in "abcd"] == B
    assert str(rows["a.parquet/00000004"]).startswith("missing")


LISTS = {
    "structs": (
        pa.array([hf(B[:2], "ab"), None, [], hf(B[2:], "cd")], pa.list_(HF_IMAGE)),
        ["a", "b", "00000001", "00000002", "c", "d"],
    ),
    "bytes": (
        pa.array([B[:2], None, [], B[2:]], pa.list_(pa.binary())),
        ["00000000/0", "00000000/1", "00000001", "00000002", "00000003/0", "00000003/1"],
    ),
    "large, without path": (
        pa.array([[{"bytes": b} for b in B[:2]], None, [], hf(B[2:], "cd")], pa.large_list(BYTES)),
        ["00000000/0", "00000000/1", "00000001", "00000002", "00000003/0", "00000003/1"],
    ),
}


@pytest.mark.parametrize(("images", "names"), LISTS.values(), ids=LISTS)
def test_a_row_for_each_image_of_a_list(tmp_path, images, names):
    path = written(tmp_path / "a.parquet", {"images": images}, row_group_size=3)
    (shard,) = survey([path]).shards
    assert shard.images is None
    rows = read_all([shard])
    assert list(rows) == [f"a.parquet/{name}" for name in names]
    found = list(rows.values())
    assert (found[:2], found[4:]) == (B[:2], B[2:])
    assert [str(e) for e in found[2:4]] == ["missing: the row has no image"] * 2
    # a part of them, in any order
    members = reader_for("parquet").members(shard)
    assert list(reader_for("parquet").read(shard, members.take([5, 0]))) == [B[3], B[0]]


def test_of_several_columns_content_decides(tmp_path):
    columns = {"embedding": [b"\x80\4noise"] * 4, "picture": B, "data": [b"{}"] * 4}
    path = written(tmp_path / "a.parquet", columns)
    assert list(read_all(survey([path]).shards).values()) == B


def test_several_columns_of_images_are_refused_and_named(tmp_path):
    columns = {"image": B, "mask": pa.array(hf(B[::-1]), HF_IMAGE), "label": [0, 1, 2, 3]}
    path = written(tmp_path / "a.parquet", columns)
    with pytest.raises(UsageError, match=r"image, mask; name one .* columns\.bytes=image"):
        survey([path])
    for name, images in (("image", B), ("mask", B[::-1])):
        shards = survey([path], Reading(columns=ColumnOptions(bytes=name))).shards
        assert list(read_all(shards).values()) == images


def test_a_named_column_of_images_has_to_be_there(tmp_path):
    asked = Reading(columns=ColumnOptions(bytes="picture"))
    path = written(tmp_path / "a.parquet", {"image": B, "mask": B, "label": [0, 1, 2, 3]})
    with pytest.raises(UsageError, match=r"a\.parquet: .* 'picture'.*'image', 'mask'"):
        survey([path], asked)
    (tmp_path / "b.jpg").write_bytes(B[0])
    with pytest.raises(UsageError, match=r"no column 'picture'.*there are none"):
        survey([str(tmp_path / "b.jpg")], asked)
    path = written(tmp_path / "list.parquet", {"file": ["b.jpg"], "label": ["n01440764"]})
    with pytest.raises(UsageError, match=r"no column 'picture'.*there are 'file', 'label'"):
        survey([path], asked)
    # one of two files has it, the other is a table of something else
    (tmp_path / "both").mkdir()
    written(tmp_path / "both/a.parquet", {"picture": B})
    written(tmp_path / "both/facts.parquet", {"facts": [1, 2]})
    assert len(read_all(survey([str(tmp_path / "both")], asked).shards)) == 4
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 damaged")
    assert len(survey([str(tmp_path / "damaged.parquet")], asked).shards) == 1


def test_null_images_are_rows(tmp_path):
    images = [{"bytes": B[0], "path": "a"}, None, {"bytes": None, "path": "c"}]
    columns = {"image": pa.array(images, HF_IMAGE)}
    rows = read_all(survey([written(tmp_path / "a.parquet", columns)]).shards)
    assert rows["a.parquet/a"] == B[0]
    nothing, no_file = map(str, list(rows.values())[1:])
    assert nothing == "missing: the row has no image bytes"
    assert no_file.startswith("missing: ")


@pytest.fixture
def beside(tmp_path):
    """A folder with images that rows may name."""
    (tmp_path / "photos").mkdir()
    for number, data in enumerate(B):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(data)
    return tmp_path


PATHS = ["photos/1.jpg", "{}/photos/0.jpg", "file://{}/photos/3.jpg", "photos/gone.jpg"]


def test_rows_without_bytes_are_the_files_that_they_name(beside):
    paths = [path.format(beside) for path in PATHS]
    images = [{"bytes": None, "path": path} for path in paths]
    images.insert(2, {"bytes": B[2], "path": "photos/0.jpg"})
    path = written(beside / "a.parquet", {"image": pa.array(images, HF_IMAGE)}, row_group_size=2)
    *found, gone = read_all(survey([path]).shards).values()
    assert found == [B[1], B[0], B[2], B[3]]
    assert gone.kind == "missing"


def test_rows_with_null_bytes_beside_a_column_of_paths(beside):
    columns = {"image": [None, B[2]], "file_name": ["photos/1.jpg", "photos/0.jpg"]}
    path = written(beside / "a.parquet", columns)
    assert list(read_all(survey([path]).shards).values()) == [B[1], B[2]]


def test_lists_of_images_name_files_too(beside):
    rows = [hf([None, B[0]], ["photos/3.jpg", "x"]), hf([None], ["photos/2.jpg"])]
    path = written(beside / "a.parquet", {"views": pa.array(rows, pa.list_(HF_IMAGE))})
    assert list(read_all(survey([path]).shards).values()) == [B[3], B[0], B[2]]


def test_a_table_of_structs_with_paths_alone_is_a_manifest(beside):
    paths = [{"path": f"photos/{number}.jpg"} for number in (2, 0)]
    columns = {"image": paths, "label": ["n01440764", "n01443537"]}
    (shard,) = survey([written(beside / "a.parquet", columns)]).shards
    assert list(read_all([shard]).values()) == [B[0], B[2]]
    assert shard.members["label"].to_pylist() == ["n01443537", "n01440764"]


def test_what_a_row_may_not_name_is_an_error_row(beside):
    names = ["reference://x", "ftp://h/a.jpg", "simplecache::s3://b/a.jpg", "a\0b.jpg", "."]
    images = [{"bytes": None, "path": path} for path in names]
    path = written(beside / "a.parquet", {"image": pa.array(images, HF_IMAGE)})
    (shard,) = survey([path]).shards
    found = list(read_all([shard]).values())
    assert [error.kind for error in found[:4]] == ["refused"] * 4
    assert found[4].kind in ("unreadable", "missing")
    kept = replace(shard, follows=False)
    assert {error.kind for error in read_all([kept]).values()} == {"refused"}


def test_hive_folders_are_labels(tmp_path):
    for folder in ("label=n01440764/fold=1", "label=n01443537", "label=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / folder).mkdir(parents=True)
        written(tmp_path / folder / "part-0.parquet", {"image": B[:1]})
    labels = {}
    for shard in survey([str(tmp_path)]).shards:
        (labels[shard.name],) = reader_for("parquet").members(shard)["label"].to_pylist()
    assert labels == {
        "label=n01440764/fold=1/part-0.parquet": "n01440764",
        "label=n01443537/part-0.parquet": "n01443537",
        "label=__HIVE_DEFAULT_PARTITION__/part-0.parquet": None,
    }


def test_hive_folders_of_indices_count_the_data_sets_own_classes(tmp_path):
    names = ["n02102040", "n01440764"]
    feature = {"label": {"names": names, "_type": "ClassLabel"}}
    facts = {"huggingface": json.dumps({"info": {"features": feature}})}
    (tmp_path / "label=1").mkdir()
    table = pa.table({"image": B[:1]}).replace_schema_metadata(facts)
    pq.write_table(table, tmp_path / "label=1/a.parquet")
    (shard,) = survey([str(tmp_path)]).shards
    assert reader_for("parquet").members(shard)["label"].to_pylist() == ["n01440764"]


def test_a_file_without_rows_and_one_without_images(tmp_path):
    schema = pa.schema([("image", HF_IMAGE)])
    pq.write_table(schema.empty_table(), tmp_path / "empty.parquet")
    with pq.ParquetWriter(tmp_path / "no-groups.parquet", schema):
        pass
    written(tmp_path / "metrics.parquet", {"x": [1]})
    written(tmp_path / "good.parquet", {"image": B})
    found = survey([str(tmp_path)])
    assert found.left_out[NO_IMAGES].examples == ("metrics.parquet",)
    assert len(read_all(found.shards)) == 4
