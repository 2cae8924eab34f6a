from io import BytesIO

import pytest

from tests.support.outputs import owned
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError
from vggbatch.output.checks.intact import parquet_facts
from vggbatch.output.layout import Output
from vggbatch.sources import Shard
from vggbatch.storage.filesystem import Folder

SHARDS = [(0, 0, Shard("tar", "/a.tar", "a.tar", 1, "v")), (1, 1, Shard("tar", "/b", "b", 1, "v"))]

NAME = "predictions/part-000000.parquet"
CONTENT = b"x" * 20 + b"footer" + (6).to_bytes(4, "little") + b"PAR1"
FILES = [parquet_facts(NAME, 4, BytesIO(CONTENT))]


@pytest.fixture
def output(tmp_path):
    made = owned(tmp_path)
    made.write_plan({"x": 1}, SHARDS)
    return made


def mark(output, files=(), profiles=()):
    marker = {
        "format": 2,
        "rows": 4 if files else 0,
        "files": list(files),
        "profiles": dict.fromkeys(profiles, files),
    }
    output.write_marker(0, {**marker, "stats": Stats().to_json()})


def stage(output, group, shard, chunk, chunks, rows=4):
    name = output.part_name(ChunkKey(group, shard, chunk, chunks, chunks * 4), rows)
    output.folder.write_bytes(name, b"")


def test_a_plan_is_found_again(output):
    again = Output(output.folder)
    assert again.plan_id == output.plan_id
    assert again.read_plan()["x"] == 1
    assert [(n, g, s.name) for n, g, s in again.read_shards()] == [(0, 0, "a.tar"), (1, 1, "b")]
    assert again.is_current()


def test_a_folder_without_a_run_says_so(tmp_path):
    output = Output(Folder(str(tmp_path)))
    assert output.read_plan() is None
    with pytest.raises(UsageError, match="has no run in it"):
        output.progress()
    with pytest.raises(UsageError, match="not the output of a finished run"):
        output.read_run()


def test_progress_is_read_from_names_alone(output):
    stage(output, 0, 0, 0, 2)
    stage(output, 0, 0, 1, 2, rows=3)
    stage(output, 1, 1, 5, 9)
    progress = output.progress()
    assert progress.rows == 11
    assert progress.shard_complete(0)
    assert not progress.shard_complete(1)
    assert progress.chunks[1] == {5}


def test_a_complete_group_counts_by_its_marker(output, tmp_path):
    stage(output, 0, 0, 0, 1)
    mark(output, FILES)
    (tmp_path / "predictions").mkdir()
    (tmp_path / NAME).write_bytes(CONTENT)
    progress = output.progress()
    assert progress.rows == 4
    assert list(progress.groups) == [0]
    assert not progress.chunks


def test_a_group_whose_rows_were_deleted_or_damaged_is_not_complete(output, tmp_path):
    mark(output, FILES)
    (tmp_path / "predictions").mkdir()
    torn = CONTENT[:20] + b"\0" * 6 + CONTENT[26:]
    for content, what in {
        None: "is missing",
        b"": f"has 0 bytes instead of {len(CONTENT)}",
        CONTENT[:-1]: f"has {len(CONTENT) - 1} bytes instead of {len(CONTENT)}",
        b"\0" * len(CONTENT): "is damaged",
        torn: "is damaged",
    }.items():
        if content is not None:
            (tmp_path / NAME).write_bytes(content)
        progress = output.progress()
        assert not progress.groups
        assert progress.lost == [f"{NAME} {what}"]
    (tmp_path / NAME).write_bytes(CONTENT)
    assert list(output.progress().groups) == [0]


def test_a_marker_that_is_damaged_does_not_count(output, tmp_path):
    mark(output)
    [marker] = (tmp_path / "_vggbatch" / output.plan_id / "groups").iterdir()
    data = marker.read_bytes()
    other_group = data.replace(b'"group": 0', b'"group": 1')
    other_rows = data.replace(b'"rows": 0', b'"rows": 4')
    assert len({data, other_group, other_rows}) == 3
    for content in (b"", data[:30], b"null", other_group, other_rows):
        marker.write_bytes(content)
        assert not output.progress().groups
        assert output.read_marker(0) is None
    assert output.progress().lost == [f"{marker.relative_to(tmp_path)} is damaged"]
    marker.write_text('{"format": 3}')
    with pytest.raises(UsageError, match="later version"):
        output.progress()


def test_a_group_that_lacks_the_rows_of_a_profile_is_not_complete(output, tmp_path):
    mark(output, FILES, ["squash"])
    for folder in (tmp_path, tmp_path / "profiles/squash"):
        assert not output.progress().groups
        (folder / "predictions").mkdir(parents=True)
        (folder / NAME).write_bytes(CONTENT)
    assert list(output.progress().groups) == [0]


def test_state_of_an_overwritten_run_does_not_mix(output):
    stage(output, 0, 0, 0, 2)
    other = owned(output.folder)
    other.write_plan({"x": 2}, SHARDS)
    assert other.progress().rows == 0
    assert not output.is_current()
    stage(output, 0, 0, 1, 2)
    assert other.progress().rows == 0


def test_clear_leaves_what_is_not_the_runs(output, tmp_path):
    stage(output, 0, 0, 0, 2)
    (tmp_path / "notes.txt").write_text("mine")
    output.write_plan({"profiles": {"zoo": "zoo", "squash": "squash"}}, SHARDS)
    for name in ("squash", "mine"):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "run.json").write_text("{}")
    output.clear()
    assert Output(output.folder).read_plan() is None
    assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["notes.txt"]


def test_parts_are_in_row_order(output):
    for chunk in (10, 2, 0):
        stage(output, 0, 0, chunk, 11)
    assert [key.chunk for key, _, _ in output.parts(0)] == [0, 2, 10]


def test_strays_among_the_predictions_go_and_other_files_stay(output, tmp_path):
    folders = (tmp_path / "predictions", tmp_path / "profiles/squash/predictions")
    for folder in folders:
        folder.mkdir(parents=True)
        for name in ("part-000000.parquet", "part-000007.parquet", ".part-1.x.partial", "mine.txt"):
            (folder / name).write_bytes(b"x")
    output.drop_strays({"predictions/part-000000.parquet"})
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "part-000000.parquet"]
