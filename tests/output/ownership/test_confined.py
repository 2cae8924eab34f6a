"""Outputs that somebody else has prepared: nothing outside of them is read, written or deleted."""

import json
import os
import shutil

import pytest

from tests.support.images import write_folder
from vggbatch import compare, load_predictions, plan, rescore, score, status, write_report
from vggbatch.errors import UsageError

pytestmark = pytest.mark.usefixtures("scored_here")


@pytest.fixture(scope="module")
def done(tmp_path_factory, net):
    """images/ and out/, the output of a run."""
    root = tmp_path_factory.mktemp("done")
    write_folder(root / "images", 2)
    score(root / "images", model=net, output=root / "out")
    return root


@pytest.fixture
def place(done, tmp_path):
    """A copy of it, beside a folder that is not the output's."""
    shutil.copytree(done / "out", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    for name in ("part-000009.parquet", "thesis.txt"):
        (tmp_path / "mine" / name).write_text("mine")
    return tmp_path


def again(done, place, net, **options):
    return score(done / "images", model=net, output=place / "out", **options)


def assert_untouched(place):
    assert sorted(path.name for path in (place / "mine").iterdir()) == [
        "part-000009.parquet",
        "thesis.txt",
    ]
    assert {path.read_text() for path in (place / "mine").iterdir()} == {"mine"}


@pytest.mark.parametrize(
    "name",
    [
        "predictions",
        "_vggbatch",
        "metrics",
        "profiles",
        "profiles/x",
        "_vggbatch/0123456789abcdef",
        "profiles/x/predictions",
        "run.json",
        "_SUCCESS",
        "_vggbatch/plan.json",
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_link_is_followed(done, place, net, name, overwrite):
    link = place / "out" / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(place / "mine" / ("thesis.txt" if "." in name or "_S" in name else ""))
    out = str(place / "out")
    calls = [
        lambda: again(done, place, net, overwrite=overwrite),
        lambda: plan(done / "images", model=net, output=out, overwrite=overwrite),
        lambda: write_report(out),
        lambda: status(out),
        lambda: load_predictions(out),
        lambda: rescore(out, "embedded", str(place / "other")),
        lambda: compare(out, str(done / "out")),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="is a symbolic link, and none is followed"):
            call()
    assert_untouched(place)


def test_the_output_itself_may_be_a_link(done, place, net):
    (place / "link").symlink_to(place / "out")
    scored = score(done / "images", model=net, output=place / "link", overwrite=True)
    assert scored.record["counts"]["images"] == 2
    assert (place / "out" / "_SUCCESS").exists()


def test_a_pipe_in_an_output_is_not_waited_for(done, place, net):
    (place / "out" / "run.json").unlink()
    os.mkfifo(place / "out" / "run.json")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        write_report(str(place / "out"))


@pytest.mark.parametrize(
    "name", ["..", ".", "../mine", "a/b", "a\\b", "", ".hidden", "/tmp/x", "a\n"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_profiles_that_no_run_has(done, place, net, name, overwrite):
    path = place / "out" / "_vggbatch" / "plan.json"
    document = json.loads(path.read_text())
    document["profiles"] = {"a": "zoo", name: "zoo"}
    path.write_text(json.dumps(document))
    (place / "out" / "profiles").mkdir()
    (place / "out" / "notes.txt").write_text("mine")
    (place / "out" / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match="was not written by vggbatch: profiles"):
        again(done, place, net, overwrite=overwrite)
    assert_untouched(place)
    assert (place / "out" / "notes.txt").read_text() == "mine"
    assert list((place / "out" / "predictions").iterdir())


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../mine/part-000009.parquet", "predictions/../../mine/x", "plan.json"]
)
def test_files_that_no_run_writes(done, place, net, name):
    (path,) = (place / "out" / "_vggbatch").glob("*/groups/*.json")
    document = json.loads(path.read_text())
    document["files"][0]["name"] = name
    path.write_text(json.dumps(document))
    (place / "out" / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match="was not written by vggbatch: files"):
        again(done, place, net)
    assert_untouched(place)
