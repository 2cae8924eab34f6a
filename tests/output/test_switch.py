"""The switch to a next generation, as an output that somebody else has made prepares it."""

import json
import shutil

import pytest

from tests.support.images import write_folder
from vggbatch import api, score
from vggbatch.errors import UsageError

pytestmark = pytest.mark.usefixtures("scored_here")


@pytest.fixture(scope="module")
def done(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("done")
    write_folder(root / "images", 2)
    score(root / "images", model=net, output=root / "out")
    return root


@pytest.mark.parametrize("profile", ["../../victim", "../..", "a/../../../victim", "other", "."])
def test_it_is_into_the_folders_of_the_plan_alone(done, tmp_path, net, profile):
    out, victim = tmp_path / "out", tmp_path / "victim"
    for place in (out, victim):
        shutil.copytree(done / "out", place)
    record = json.loads((out / "run.json").read_text())
    plan = json.loads((out / "_vggbatch" / "plan.json").read_text())
    (out / "_vggbatch" / "plan.json").write_text(json.dumps(plan | {"revises": plan["id"]}))
    records = {"format": 2, "records": {"": record, profile: record | {"finished": "never"}}}
    (out / "_vggbatch" / plan["id"] / "records.json").write_text(json.dumps(records))
    before = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    for command in (
        lambda: api.forget(str(out), ["00000.jpg"]),
        lambda: score(done / "images", model=net, output=out),
        lambda: score(done / "images", model=net, output=out, append=True),
    ):
        with pytest.raises(UsageError, match="it has other profiles than the plan"):
            command()
    assert {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "victim"]


def test_a_generation_without_a_record_is_damaged(done, tmp_path):
    out = shutil.copytree(done / "out", tmp_path / "out")
    record = json.loads((out / "run.json").read_text())
    plan = json.loads((out / "_vggbatch" / "plan.json").read_text())
    (out / "_vggbatch" / "plan.json").write_text(json.dumps(plan | {"revises": plan["id"]}))
    records = {"format": 2, "records": {"": record}}
    (out / "_vggbatch" / plan["id"] / "records.json").write_text(json.dumps(records))
    (out / "run.json").unlink()
    (out / "_SUCCESS").write_text("{}")
    with pytest.raises(UsageError, match=r"run.json is damaged, .* \(it is missing\)"):
        api.forget(str(out), ["00000.jpg"])
