"""Outputs that another run overwrites while a command reads them."""

import json
import shutil

import pytest

from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.output.checks.unchanged import Seen
from vggbatch.output.verify import declaration
from vggbatch.storage.filesystem import Folder

pytestmark = pytest.mark.usefixtures("scored_here")

RACE = "was written by another run while it was read: repeat the command"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Images and the settings of a run that writes two predictions files."""
    root = tmp_path_factory.mktemp("unchanged")
    names = write_folder(root / "images", 4)
    (root / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    options = {"model": str(color_net(root / "net.onnx")), "labels": [str(root / "labels.csv")]}
    options |= {"chunk_size": 2, "rows_per_file": 2}
    return str(root / "images"), options


@pytest.fixture(scope="module")
def finished(asked):
    out = asked[0].replace("images", "finished")
    api.evaluate(asked[0], output=out, **asked[1])
    return out


@pytest.fixture
def out(finished, tmp_path):
    return str(shutil.copytree(finished, tmp_path / "out"))


def at_second_file(monkeypatch, act):
    """Call a function when a command opens the second file of predictions."""
    for place in ("vggbatch.api.outputs.read_table", "vggbatch.metrics.rows.open_parquet"):
        module, _, name = place.rpartition(".")
        real, seen = getattr(__import__(module, fromlist=[name]), name), []

        def opened(file, *args, real=real, seen=seen):
            seen.append(file)
            if len(seen) == 2:
                act()
            return real(file, *args)

        monkeypatch.setattr(place, opened)


def begun_again(out):
    """What an overwriting run does first."""
    folder = Folder(out)
    plan = json.loads(folder.read_bytes("_vggbatch/plan.json"))
    folder.delete("_SUCCESS")
    folder.write_json("_vggbatch/plan.json", {**plan, "id": "0" * 16})


READERS = {
    "load_predictions": lambda out, calm, new: api.load_predictions(out),
    "rescore": lambda out, calm, new: api.rescore(out, "embedded", new),
    "compare, the first": lambda out, calm, new: api.compare(out, calm),
    "compare, the second": lambda out, calm, new: api.compare(calm, out),
    "a page about two": lambda out, calm, new: api.write_report(calm, against=out),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_mixture_of_two_runs_is_refused(out, finished, tmp_path, monkeypatch, reader):
    calm = str(shutil.copytree(finished, tmp_path / "calm"))
    at_second_file(monkeypatch, lambda: begun_again(out))
    with pytest.raises(UsageError, match=RACE):
        READERS[reader](out, calm, str(tmp_path / "new"))
    assert not (tmp_path / "new/_SUCCESS").exists()
    assert not (tmp_path / "calm/comparison.html").exists()


def test_files_that_an_overwriting_run_deleted_are_not_reported_as_missing(out, monkeypatch):
    def deleted():
        begun_again(out)
        shutil.rmtree(f"{out}/predictions")

    at_second_file(monkeypatch, deleted)
    with pytest.raises(UsageError, match=RACE):
        api.load_predictions(out)


def test_a_run_that_overwrites_to_its_end_is_noticed(asked, out, monkeypatch):
    """Its files have the same names, and are whole."""

    def overwrite():
        monkeypatch.undo()
        monkeypatch.setattr("vggbatch.executors.choose.chosen_executor", lambda options: "local")
        api.evaluate(asked[0], output=out, overwrite=True, **asked[1])

    at_second_file(monkeypatch, overwrite)
    with pytest.raises(UsageError, match=RACE):
        api.load_predictions(out)
    assert len(api.load_predictions(out)) == 4


def test_a_page_about_rescored_predictions_that_were_scored_again_is_refused(out, tmp_path):
    target = str(tmp_path / "rescored")
    api.rescore(out, "embedded", target)
    assert api.write_report(target)
    plan = json.loads(Folder(out).read_bytes("run.json"))["plan"]
    for path in Folder(out).walk(""):
        if path.endswith((".json", "_SUCCESS")):
            data = Folder(out).read_bytes(path)
            Folder(out).write_bytes(path, data.replace(plan.encode(), b"0" * 16))
    record = json.loads(Folder(out).read_bytes("run.json"))
    Folder(out).write_json("_SUCCESS", declaration(record))
    with pytest.raises(UsageError, match="was scored again since its predictions were rescored"):
        api.write_report(target)


def test_a_folder_of_no_run_is_read_as_it_is(tmp_path):
    seen = Seen.of(Folder(str(tmp_path / "none")))
    seen.check()
    (tmp_path / "none").mkdir()
    with seen.reading():
        pass
    with pytest.raises(FileNotFoundError), seen.reading():
        raise FileNotFoundError
