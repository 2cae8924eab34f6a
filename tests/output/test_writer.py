import gc
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.outputs import owned
from vggbatch.chunks.chunk import ROW, ChunkKey
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.chunks.stats import Stats
from vggbatch.errors import JobFailed
from vggbatch.output import writer
from vggbatch.output.layout import Output
from vggbatch.output.schema import predictions_schema
from vggbatch.output.writer import compact, predictions_table, with_profile, write_part

CLASSES = tuple(f"n{i:08d} class {i}" for i in range(1000))


@pytest.fixture
def output(tmp_path):
    made = owned(tmp_path)
    made.write_plan({}, [])
    return made


TWO = Stats(rows=1, likelihood=LabelLikelihood(), further=(LabelLikelihood(),))


def rows(names, errors=None):
    count = len(names)
    values = [names, ["s"] * count, [1] * count, errors or [None] * count]
    arrays = [pa.array(v, f.type) for v, f in zip(values, ROW, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=list(ROW))


def table(names, errors=None, **options):
    scored = sum(error is None for error in errors or [None] * len(names))
    index = np.arange(scored * 5, dtype=np.int32).reshape(-1, 5) % 1000
    probability = np.full((scored, 5), 0.2, np.float32)
    return predictions_table(rows(names, errors), index, probability, classes=CLASSES, **options)


def commit(output, shard, chunk, chunks, names, images=None):
    """Commit a chunk of a shard with so many images, or with chunks like this one."""
    stats = Stats(rows=len(names), likelihood=LabelLikelihood.of(np.ones(len(names))))
    images = chunks * len(names) if images is None else images
    write_part(output, ChunkKey(0, shard, chunk, chunks, images), table(names), stats)


def test_rows_with_an_error_have_nulls_and_the_others_their_own_values():
    made = table(["a", "b", "c"], [None, "empty: no bytes", None])
    assert made.schema == predictions_schema()
    first, second, third = made.to_pylist()
    assert first["top5_index"] == [0, 1, 2, 3, 4]
    assert first["top5_synset"][1] == "n00000001 class 1"
    assert (second["top5_index"], second["top5_synset"]) == (None, None)
    assert second["error"] == "empty: no bytes"
    assert third["top5_index"] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(("kind", "dtype"), [("float32", np.float32), ("float16", np.float16)])
@pytest.mark.parametrize("width", [4096, 1280, 7])
def test_features_are_rows_of_their_width(kind, dtype, width):
    features = np.random.default_rng(0).random((1, width), dtype=np.float32)
    made = table(["a", "b"], [None, "empty: x"], features=features, features_type=kind)
    np.testing.assert_array_equal(made["features"][0].values.to_numpy(), features[0].astype(dtype))
    assert made["features"][1].as_py() is None


def test_features_that_do_not_fit_their_type_are_refused():
    features = np.array([[1, 70_000]], np.float32)
    with pytest.raises(JobFailed, match="up to 70000 do not fit float16"):
        table(["a"], features=features, features_type="float16")
    made = table(["a"], features=features, features_type="float32")
    assert made["features"].to_pylist() == [[1, 70_000]]
    bad = np.array([[1, np.inf]], np.float32)  # as the network gave it
    assert (
        table(["a"], features=bad, features_type="float16")["features"].to_pylist() == bad.tolist()
    )


def test_features_of_a_chunk_of_damaged_images():
    none = np.zeros((0, 0), np.float32)
    made = table(["a"], ["empty: x"], features=none, features_type="float32")
    assert made["features"].to_pylist() == [None]


def test_rows_are_sorted_in_each_row_group_as_its_metadata_says(tmp_path, monkeypatch):
    made = owned(tmp_path)
    made.write_plan({"model": {"sha256": "ab"}, "ensemble": [{"sha256": "cd"}]}, [])
    monkeypatch.setattr(writer, "_ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(writer, "_READERS", 1)
    commit(made, 0, 0, 2, ["c", "a", "é"], images=5)
    commit(made, 0, 1, 2, ["d", "b"], images=5)
    compact(made, 0, [0], 1000)
    file = pq.ParquetFile(tmp_path / "predictions/part-000000.parquet")
    assert file.read()["image_id"].to_pylist() == ["a", "c", "é", "b", "d"]
    for number, ends in enumerate([("a", "é"), ("b", "d")]):
        group = file.metadata.row_group(number)
        assert [part.column_index for part in group.sorting_columns] == [0]
        statistics = group.column(0).statistics
        assert (statistics.min, statistics.max) == ends
        assert group.column(0).has_offset_index
        assert group.column(0).has_column_index
    rows = file.read().to_pylist()
    assert [row["top5_index"][0] for row in rows] == [5, 0, 10, 5, 0]  # of its own image


def test_a_footer_says_of_which_run_network_and_profile_it_is(tmp_path):
    made = owned(tmp_path)
    plan = {"model": {"sha256": "ab"}, "ensemble": [{"sha256": "cd"}], "profile_used": "zoo"}
    made.write_plan(plan, [])
    names = table(["a"])
    write_part(made, ChunkKey(0, 0, 0, 1, 1), with_profile(names, "squash", names), TWO)
    compact(made, 0, [0], 1000)
    for folder, profile in (("predictions", b"zoo"), ("profiles/squash/predictions", b"squash")):
        found = pq.read_metadata(tmp_path / folder / "part-000000.parquet").metadata
        assert found[b"vggbatch.format"] == b"2"
        assert found[b"vggbatch.run_id"] == made.plan_id.encode()
        assert found[b"vggbatch.model_sha256"] == b"ab,cd"
        assert found[b"vggbatch.profile"] == profile


def test_compaction_orders_rows_and_leaves_no_staging(output, tmp_path):
    commit(output, 1, 0, 1, ["d"])
    commit(output, 0, 1, 2, ["c"], images=3)
    commit(output, 0, 0, 2, ["a", "b"], images=3)
    marker = compact(output, 0, [0, 1], 1000)
    [file] = marker["files"]
    assert (file["name"], file["rows"]) == ("predictions/part-000000.parquet", 4)
    assert file["bytes"] == (tmp_path / file["name"]).stat().st_size
    file = pq.ParquetFile(tmp_path / "predictions/part-000000.parquet")
    assert file.read()["image_id"].to_pylist() == ["a", "b", "c", "d"]
    likelihood = LabelLikelihood.from_metadata(file.metadata.metadata)
    assert likelihood == LabelLikelihood.of(np.ones(4))
    assert not list(output.parts(0))


def test_compacting_again_changes_nothing(output, tmp_path):
    commit(output, 0, 0, 1, ["a"])
    first = compact(output, 0, [0], 1000)
    before = (tmp_path / "predictions/part-000000.parquet").stat()
    assert compact(output, 0, [0], 1000) == first
    after = (tmp_path / "predictions/part-000000.parquet").stat()
    # the time of access may change, by reading
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_marker_without_its_files_does_not_count(output, tmp_path):
    commit(output, 0, 0, 1, ["a"])
    first = compact(output, 0, [0], 1000)
    (tmp_path / "predictions/part-000000.parquet").unlink()
    commit(output, 0, 0, 1, ["a"])
    assert compact(output, 0, [0], 1000) == first
    assert (tmp_path / "predictions/part-000000.parquet").exists()


def test_files_hold_about_the_wanted_rows(output):
    for chunk in range(10):
        commit(output, 0, chunk, 10, [f"{chunk}-{i}" for i in range(4)])
    files = compact(output, 0, [0], 15)["files"]
    assert [file["rows"] for file in files] == [16, 12, 12]
    assert [file["name"][-8:] for file in files] == [".parquet"] * 3


def test_a_group_with_missing_chunks_is_never_written(output, tmp_path):
    commit(output, 0, 0, 2, ["a"])
    with pytest.raises(JobFailed, match="disappeared"):
        compact(output, 0, [0], 1000)
    assert not (tmp_path / "predictions").exists()


def test_a_staging_file_of_another_chunk_or_run_is_never_taken(output, tmp_path):
    commit(output, 0, 0, 2, ["a"])
    commit(output, 0, 1, 2, ["b"])
    one, other = sorted(tmp_path.glob("_vggbatch/*/staging/*/*.parquet"))
    foreign = owned(tmp_path / "foreign")
    foreign.write_plan({}, [])
    commit(foreign, 0, 1, 2, ["c"])
    ((_, _, name),) = foreign.parts(0)
    whole = other.read_bytes()
    for data in (one.read_bytes(), foreign.folder.read_bytes(name)):
        other.write_bytes(data)
        match = rf"{other.name} is damaged \(it was written as .*: delete it and run the same"
        with pytest.raises(JobFailed, match=match):
            compact(output, 0, [0], 1000)
        assert not list(tmp_path.glob("_vggbatch/*/groups/*"))
        assert not list(tmp_path.glob("predictions/*"))
    other.write_bytes(whole)
    assert compact(output, 0, [0], 1000)["rows"] == 2


@pytest.mark.parametrize(
    "chunks",
    [
        [(0, 2, 4, "abc"), (1, 2, 4, "bc")],  # of a smaller size than the first
        [(0, 2, 4, "ab"), (1, 2, 4, "d")],
        [(0, 3, 4, "ab"), (1, 2, 4, "cd"), (2, 3, 4, "")],
        [(0, 1, 4, "abc"), (0, 1, 4, "abcd")],  # the shard had another image
        [(0, 1, 4, "abc"), (0, 1, 3, "abc")],
    ],
)
def test_chunks_that_were_cut_in_two_ways_are_never_merged(output, tmp_path, chunks):
    for chunk, count, images, names in chunks:
        commit(output, 0, chunk, count, list(names), images=images)
    with pytest.raises(JobFailed, match=r"cut in two ways, .*: delete _vggbatch/.*/staging/000000"):
        compact(output, 0, [0], 1000)
    assert not (tmp_path / "predictions").exists()


def test_losing_the_race_to_a_repeated_task_is_no_failure(output, monkeypatch):
    commit(output, 0, 0, 1, ["a"])
    real = output.parts

    def beaten(group):
        listed = list(real(group))
        monkeypatch.setattr(output, "parts", real)
        first = compact(
            Output(output.folder, fence=output.fence), 0, [0], 1000
        )  # another task, just now
        assert first["rows"] == 1
        return iter(listed)

    monkeypatch.setattr(output, "parts", beaten)
    assert compact(output, 0, [0], 1000)["rows"] == 1


def test_a_run_that_was_overwritten_writes_no_rows(output, tmp_path):
    commit(output, 0, 0, 1, ["a"])
    owned(output.folder).write_plan({"other": True}, [])
    with pytest.raises(JobFailed, match="taken over"):
        compact(output, 0, [0], 1000)
    assert not (tmp_path / "predictions").exists()


def test_a_group_without_images_has_no_file(output):
    commit(output, 0, 0, 1, [])
    assert compact(output, 0, [0], 1000)["files"] == []


def test_profiles_become_outputs_of_their_own(output, tmp_path):
    for chunk, names in enumerate((["a", "b"], ["c"])):
        own, other = table(names), table([*names, "z"]).slice(1).drop_columns(["image_id"])
        likelihoods = [LabelLikelihood.of(np.full(len(names), nll)) for nll in (1.0, 2.0)]
        stats = Stats(rows=len(names), likelihood=likelihoods[0], further=(likelihoods[1],))
        write_part(output, ChunkKey(0, 0, chunk, 2, 3), with_profile(own, "squash", other), stats)
    marker = compact(output, 0, [0], 1000)
    assert list(marker["profiles"]) == ["squash"]
    assert not output.damage(marker)
    for folder, first, nll in (("predictions", 0, 1.0), ("profiles/squash/predictions", 5, 2.0)):
        file = pq.ParquetFile(tmp_path / folder / "part-000000.parquet")
        assert file.schema_arrow.names == predictions_schema().names
        made = file.read().to_pylist()
        assert [row["image_id"] for row in made] == ["a", "b", "c"]
        assert made[0]["top5_index"][0] == first
        likelihood = LabelLikelihood.from_metadata(file.metadata.metadata)
        assert likelihood == LabelLikelihood.of(np.full(3, nll))


def test_chunks_larger_than_files_leave_no_empty_file(output, tmp_path):
    commit(output, 0, 0, 1, list("abcdefgh"))
    assert [file["rows"] for file in compact(output, 0, [0], 2)["files"]] == [8]
    assert len(list((tmp_path / "predictions").iterdir())) == 1


def test_a_run_overwritten_between_two_profiles_ends_with_one_error(output, monkeypatch):
    own, other = table(["a"]), table(["a"]).drop_columns(["image_id"])
    write_part(output, ChunkKey(0, 0, 0, 1, 1), with_profile(own, "squash", other), TWO)
    real, of_destructors = Output.fence_of, []

    def fence_of(self, profile):
        if profile == "squash":
            owned(output.folder)
        return real(self, profile)

    monkeypatch.setattr(Output, "fence_of", fence_of)
    monkeypatch.setattr(sys, "unraisablehook", of_destructors.append)
    with pytest.raises(JobFailed, match="taken over"):
        compact(output, 0, [0], 1000)
    gc.collect()
    assert not of_destructors
