"""Files and folders whose names have bytes that are not UTF-8."""

import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.images import write_folder
from vggbatch import api
from vggbatch.errors import UsageError

BYTES = os.fsdecode(b"caf\xe9")
ESCAPED = r"caf.*e9.* is not UTF-8: rename it, or name a link to it"


@pytest.fixture
def job(net, tmp_path, monkeypatch):
    """Input and options of an evaluation."""
    monkeypatch.setattr("vggbatch.executors.choose.chosen_executor", lambda options: "local")
    names = write_folder(tmp_path / "images", 2)
    (tmp_path / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    options = {"model": str(net), "labels": [str(tmp_path / "labels.csv")]}
    return str(tmp_path / "images"), {**options, "output": str(tmp_path / "out")}


def test_an_input_with_such_a_name_is_scored_and_recorded_as_a_uri(job, tmp_path):
    images, options = job
    named = str(shutil.move(images, tmp_path / BYTES))
    api.evaluate(named, **options)
    assert api.evaluate(named, **options).result.complete_before
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["config"]["input"] == [f"file://{quote(os.fsencode(named))}"]
    assert api.load_predictions(options["output"]).num_rows == 2
    assert api.write_report(options["output"])
    # what was recorded names it too
    assert api.evaluate(record["config"]["input"][0], **options).result.complete_before


@pytest.mark.parametrize("key", ["output", "labels"])
@pytest.mark.parametrize("as_uri", [False, True])
def test_what_an_output_cannot_name_is_refused_before_anything_is_written(
    job, tmp_path, key, as_uri
):
    images, options = job
    path = shutil.copy(tmp_path / "labels.csv", tmp_path / BYTES) if key == "labels" else None
    value = str(path or tmp_path / BYTES)
    if as_uri and key == "output":
        value = Path(value).as_uri()
    options[key] = [value] if key == "labels" else value
    with pytest.raises(UsageError, match=ESCAPED):
        api.evaluate(images, **options)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / BYTES).exists() == (key == "labels")


def test_so_is_what_rescored_metrics_cannot_name(tmp_path):
    (tmp_path / "predictions").mkdir()
    with pytest.raises(UsageError, match=ESCAPED):
        api.rescore(str(tmp_path), "embedded", str(tmp_path / BYTES))
    with pytest.raises(UsageError, match=ESCAPED):
        api.rescore(str(tmp_path), str(tmp_path / BYTES))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]
