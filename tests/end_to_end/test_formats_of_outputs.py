"""Outputs that earlier versions have begun: continued exactly as planned, or refused in a line."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support import interrupted
from tests.support.scored import score
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.job.job import Job
from vggbatch.output.schema import predictions_schema


def rows(folder, place=""):
    table = api.load_predictions(str(folder / "out" / place))
    # sources are where the fixture was made
    return sorted(table.drop_columns(["source"]).to_pylist(), key=lambda row: row["image_id"])


def test_an_interrupted_output_is_continued_exactly(net, tmp_path, monkeypatch):
    asked = interrupted.copy(tmp_path / "old", net)
    before = api.status(asked.output)
    assert (before.state, before.rows) == ("interrupted", interrupted.STAGED)
    # what this code would decide is of no account
    with monkeypatch.context() as patch:
        patch.setattr(Job, "groups", lambda job: [(n, 0, s) for n, s in enumerate(job.shards)])
        assert score(asked) == interrupted.IMAGES - interrupted.STAGED
    (tmp_path / "new/tars").mkdir(parents=True)
    for tar in (tmp_path / "old/tars").iterdir():
        (tmp_path / "new/tars" / tar.name).write_bytes(tar.read_bytes())
    score(interrupted.config(tmp_path / "new", net))
    for place in ("", "profiles/squash"):
        assert rows(tmp_path / "old", place) == rows(tmp_path / "new", place)
        names = [
            sorted(
                path.name for path in (tmp_path / which / "out" / place / "predictions").iterdir()
            )
            for which in ("old", "new")
        ]
        assert names[0] == names[1]


def test_a_run_that_an_earlier_format_has_begun_is_not_continued(net, tmp_path):
    asked = interrupted.copy(tmp_path, net, 1)
    assert api.status(asked.output).rows == interrupted.STAGED
    before = contents(tmp_path / "out")
    for command in (lambda: score(asked), lambda: api.plan(asked)):
        with pytest.raises(UsageError, match=r"begun by an earlier version .*format 1") as refused:
            command()
        assert "\n" not in str(refused.value)
    assert contents(tmp_path / "out") == before
    assert score(asked.model_copy(update={"overwrite": True})) == interrupted.IMAGES


def test_a_finished_output_of_format_1_is_read(tmp_path):
    """It was written by the last version of that format: `evaluate` with two label sets."""
    old = Path(shutil.copytree(interrupted.FIXTURES / "format-1-finished", tmp_path / "old"))
    out = str(old / "out")
    assert api.status(out).state == "complete"
    assert api.load_run(out)["format"] == 1
    table = api.load_predictions(out)
    assert table.schema.types == predictions_schema().types
    assert [row["top5_index"] is None for row in table.to_pylist()] == [False] * 6 + [True]
    again = api.rescore(out, f"labels={old / 'labels.csv'}", str(tmp_path / "rescored"))
    saved = pq.read_table(old / "out/metrics/summary.parquet").to_pylist()
    found = [(line.metric, line.value) for line in again.metrics]
    assert found == [(row["metric"], row["value"]) for row in saved if row["label_set"] == "labels"]
    assert api.load_run(str(tmp_path / "rescored"))["tables"]
    comparison = api.compare(out, out)
    assert (comparison.images, comparison.agreement) == (7, 100.0)
    page = Path(api.write_report(out, gallery=2)).read_text()
    assert all(f'<section id="{part}"' in page for part in ("metrics", "confidence", "images"))


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("document", ["plan.json", "groups"])
def test_a_later_format_is_refused_in_one_line(net, tmp_path, document):
    asked = interrupted.copy(tmp_path, net)
    [path] = (tmp_path / "out/_vggbatch").glob(
        f"**/{document}/*.json" if document == "groups" else document
    )
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    before = contents(tmp_path / "out")
    for command in (lambda: score(asked), lambda: api.status(asked.output)):
        with pytest.raises(
            UsageError, match=r"was written by a later version .*format 3"
        ) as refused:
            command()
        assert "\n" not in str(refused.value)
    assert before == contents(tmp_path / "out")


def test_it_can_be_written_again(net, tmp_path):
    """The way by which the fixture was made, beside the fixture."""
    interrupted.make(tmp_path, net)

    def names(folder):
        files = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
        # the plan has an ID of its own
        return {re.sub("/[0-9a-f]{16}/", "/ID/", name) for name in files}

    assert names(tmp_path) == names(interrupted.FIXTURE)
