"""What killed and late drivers leave in a complete output, and that the next command removes it."""

import shutil
import uuid
from dataclasses import asdict, replace

import pytest

from tests.support.images import write_folder
from vggbatch import api
from vggbatch.output.layout import Output
from vggbatch.output.leftovers import leftovers, remove_leftovers
from vggbatch.output.ownership import claim
from vggbatch.output.ownership.lease import _new_lease
from vggbatch.storage.filesystem import Folder

pytestmark = pytest.mark.usefixtures("scored_here")

OTHER = "0123456789abcdef"


@pytest.fixture(scope="module")
def job(net, tmp_path_factory):
    """Settings of an evaluation with two profiles that is complete in `output`."""
    root = tmp_path_factory.mktemp("leftovers")
    names = write_folder(root / "images", 4)
    (root / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    size = {"resize": 36, "crop": 32}
    options = {
        "model": str(net),
        "labels": [str(root / "labels.csv")],
        "profiles": {"own": size, "squash": {**size, "resize_mode": "squash"}},
        "output": str(root / "out"),
        "chunk_size": 2,
    }
    api.evaluate(str(root / "images"), **options)
    return str(root / "images"), options


@pytest.fixture(params=["disk", "store"])
def folder(request, job, tmp_path):
    """A copy of the output."""
    source = job[1]["output"]
    if request.param == "disk":
        shutil.copytree(source, tmp_path / "out")
        return Folder(str(tmp_path / "out"))
    made = Folder(f"memory://{uuid.uuid4().hex}/out")
    for path in Folder(source).walk(""):
        if Folder(source).fs.isfile(f"{source}/{path}"):
            made.write_bytes(path, Folder(source).read_bytes(path))
    return made


def names(folder):
    return sorted(folder.walk(""))


def test_a_complete_output_has_no_leftovers_and_is_not_touched(folder, monkeypatch):
    monkeypatch.setattr("vggbatch.output.ownership.lease.OutputLease", None)
    assert leftovers(Output(folder)) == []
    remove_leftovers(Output(folder))


@pytest.mark.parametrize(
    "name",
    [
        "_vggbatch/{own}/staging/000000/00000000.000000.000002.000000004.0002.parquet",
        "_vggbatch/{own}/indexes/.x.partial",
        "_vggbatch/{other}/staging/000000/00000000.000000.000002.000000004.0002.parquet",
        "_vggbatch/{other}/groups/000000.json",
        "_vggbatch/{other}/shards.parquet",
        "_vggbatch/next/_vggbatch/{other}/staging/000000/x.parquet",
        "_vggbatch/next/_vggbatch/plan.json",
        "_vggbatch/lease.json",
        "_vggbatch/.probe-x",
        "predictions/part-000009.parquet",
        "predictions/.part-000000.parquet.1.partial",
        "metrics/summary/profile=gone/part-0.parquet",
        "profiles/squash/predictions/part-000009.parquet",
        "profiles/squash/metrics/old/part-0.parquet",
        "profiles/gone/predictions/part-000000.parquet",
        "profiles/gone/run.json",
        "profiles/gone/_SUCCESS",
    ],
)
def test_a_file_that_came_late_goes_and_nothing_else(folder, name):
    before = [path for path in names(folder) if folder.fs.isfile(folder.path(path))]
    folder.write_bytes(name.format(own=Output(folder).plan_id, other=OTHER), b"late")
    remove_leftovers(Output(folder))
    assert [path for path in names(folder) if folder.fs.isfile(folder.path(path))] == before
    assert leftovers(Output(folder)) == []


def test_files_of_a_user_stay(folder):
    own = ["notes.txt", "predictions/mine.csv", "metrics/plot.png", "_vggbatch/notes/a.json"]
    for name in [*own, "profiles/mine/notes.txt", "predictions/subset/part.parquet"]:
        folder.write_bytes(name, b"")
    before = names(folder)
    assert leftovers(Output(folder)) == []
    folder.write_bytes("_vggbatch/lease.json", b"")
    remove_leftovers(Output(folder))
    assert names(folder) == before


def test_what_a_killed_append_has_scored_stays(folder):
    begun = [
        f"_vggbatch/next/_vggbatch/{name}" for name in ("plan.json", f"{OTHER}/shards.parquet")
    ]
    for name in begun:
        folder.write_bytes(name, b"")
    folder.write_bytes("_vggbatch/.probe-x", b"")
    assert leftovers(Output(folder)) == ["_vggbatch/.probe-x"]
    remove_leftovers(Output(folder))
    assert all(map(folder.exists, begun))


def test_claims_of_dead_runs_go_and_those_of_others_stay(folder):
    before = names(folder)
    dead = replace(_new_lease(), started_ticks=1)
    claim.create(folder, 1, asdict(dead))
    if folder.local:
        folder.write_bytes("_vggbatch/.ended-x/claim/claim.json", b"")
    remove_leftovers(Output(folder))
    assert names(folder) == before
    fence = claim.create(folder, 1, asdict(replace(_new_lease(), machine="another")))
    folder.write_bytes("_vggbatch/.probe-x", b"")
    remove_leftovers(Output(folder))
    fence.check()
    assert folder.exists("_vggbatch/.probe-x")


def test_an_output_that_was_opened_again_meanwhile_is_left_to_its_run(folder, monkeypatch):
    staged = f"_vggbatch/{OTHER}/groups/000000.json"
    folder.write_bytes(staged, b"")
    monkeypatch.setattr(Output, "succeeded", lambda output: False)
    remove_leftovers(Output(folder))
    assert folder.exists(staged)


def test_the_repeated_command_removes_them_and_scores_nothing(job, tmp_path, monkeypatch):
    monkeypatch.setattr("vggbatch.executors.choose.chosen_executor", lambda options: "local")
    images, options = job
    folder = Folder(str(tmp_path / "out"))
    shutil.copytree(options["output"], tmp_path / "out")
    before = names(folder)
    folder.write_bytes(f"_vggbatch/{Output(folder).plan_id}/staging/000000/x.parquet", b"")
    scored = api.evaluate(images, **{**options, "output": folder.uri})
    assert scored.result.complete_before
    assert names(folder) == before
    assert api.status(folder.uri).state == "complete"
