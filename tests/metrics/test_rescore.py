from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vggbatch.errors import UsageError
from vggbatch.metrics.rescore import open_source, rescore
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.storage.filesystem import Folder


@pytest.fixture
def classes(run, tmp_path: Path) -> str:
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(run.class_lines))
    return str(path)


def record(run, **model) -> None:
    digest = sha256("\n".join(run.class_lines).encode()).hexdigest()
    facts = {"name": "vgg16-12", "synthetic": False, "classes": 20, "classes_sha256": digest}
    run.folder.write_json("run.json", {"model": facts | model, "counts": {"images": 400}})


def test_writes_an_output_without_touching_the_run(run, classes, tmp_path: Path):
    record(run)
    before = {p: p.read_bytes() for p in Path(run.folder.root).rglob("*") if p.is_file()}
    labels = tmp_path / "zero.csv"
    labels.write_text("file,class_index\n" + "\n".join(f"{i},0" for i in run.ids))
    target = Folder(str(tmp_path / "out"))
    source = open_source(run.folder, classes)
    for _ in range(2):  # the second replaces the first
        found = rescore(source, ["embedded", f"zero={labels}"], target)
    assert before == {p: p.read_bytes() for p in Path(run.folder.root).rglob("*") if p.is_file()}
    summary = pq.read_table(Path(target.root, "metrics/summary/part-0.parquet")).to_pylist()
    assert [(r["label_set"], r["metric"]) for r in summary] == [
        (m.label_set, m.metric) for m in found.metrics
    ]
    assert Path(target.root, "metrics/confusions/label_set=zero/part-0.parquet").exists()
    assert Path(target.root, "_SUCCESS").exists()
    written = json.loads(Path(target.root, "run.json").read_text())
    assert written["rescored"]["predictions"] == run.folder.uri
    assert written["model"]["name"] == "vgg16-12"
    assert written["counts"] == {"images": 400}


def test_published_accuracies_are_those_of_the_runs_model(run, classes):
    record(run)
    [top1, *_] = rescore(open_source(run.folder, classes), ["embedded"]).metrics
    assert top1.published == 72.38
    assert top1.flagged
    record(run, synthetic=True)
    source = open_source(run.folder, classes)
    assert source.synthetic
    assert rescore(source, ["embedded"]).metrics[0].published is None


def test_refuses_to_write_over_a_run(run, classes, tmp_path: Path, make_run):
    source = open_source(run.folder, classes)
    other = make_run(tmp_path / "other", 10).write()
    for target in (run.folder, other.folder):
        with pytest.raises(UsageError, match="output of a run"):
            rescore(source, ["embedded"], target)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to"):
        rescore(source, ["embedded"], Folder(str(tmp_path / "file/below")))


def test_a_run_that_comes_between_keeps_its_output(run, classes, tmp_path: Path, monkeypatch):
    source, target = open_source(run.folder, classes), Folder(str(tmp_path / "out"))
    plain = OutputLease._take

    def overtaken(lease):
        target.write_bytes("_vggbatch/plan.json", b"{}")
        return plain(lease)

    monkeypatch.setattr(OutputLease, "_take", overtaken)
    with pytest.raises(UsageError, match="is the output of a run"):
        rescore(source, ["embedded"], target)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_vggbatch"]


def test_its_own_output_has_nothing_to_rescore(run, classes, tmp_path: Path):
    target = Folder(str(tmp_path / "metrics alone"))
    rescore(open_source(run.folder, classes), ["embedded"], target)
    with pytest.raises(UsageError, match=f"name the run they are from, {run.folder.uri}"):
        open_source(target)


def test_other_classes_must_be_named(run, classes, tmp_path: Path):
    record(run)
    with pytest.raises(UsageError, match=r"classes of its own \(20\): name its class file"):
        open_source(run.folder)
    (tmp_path / "wrong.txt").write_text("a b\n")
    with pytest.raises(UsageError, match="names other classes"):
        open_source(run.folder, str(tmp_path / "wrong.txt"))
    with pytest.raises(UsageError, match="cannot read classes"):
        open_source(run.folder, str(tmp_path / "none.txt"))
    assert open_source(run.folder, classes).class_lines == tuple(run.class_lines)
