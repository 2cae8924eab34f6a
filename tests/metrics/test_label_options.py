"""Columns and indices of label files, and classes, in metrics that are computed after the run."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pyarrow.compute as pc
import pytest

from tests.support.configure import configure
from tests.support.images import write_folder
from vggbatch import api
from vggbatch.config import ColumnOptions, IndexOptions, LabelOptions, load_label_options
from vggbatch.errors import JobFailed, UsageError
from vggbatch.metrics.rescore import open_source, rescore
from vggbatch.metrics.sets import label_sets
from vggbatch.models.catalog import synset
from vggbatch.storage.filesystem import Folder

NAMES = ["tench", "great white shark", "goldfish, Carassius auratus"]
FROM_1 = LabelOptions(indices=IndexOptions(start=1))


def record(run, **config) -> None:
    """Record classes of the run's own, and its settings."""
    digest = sha256("\n".join(run.class_lines).encode()).hexdigest()
    facts = {"name": "net", "synthetic": False, "classes": 20, "classes_sha256": digest}
    content = {"model": facts, "classes": run.class_lines, "config": config}
    run.folder.write_json("run.json", content)


@pytest.fixture
def shifted(run, tmp_path: Path) -> str:
    """The run's labels, counted from 1, in the second of two columns of classes."""
    path = tmp_path / "labels.csv"
    rows = [
        f"{i},{(c + 7) % 20},{c + 1}"
        for i, c in zip(run.ids, run.labels, strict=True)
        if c is not None
    ]
    path.write_text("\n".join(["file,guess,truth", *rows]))
    return str(path)


def top1(evaluation) -> float:
    return next(line.value for line in evaluation.metrics if line.metric == "top1")


def test_rescore_reads_a_file_as_the_run_has_read_it(run, shifted):
    record(run, labels=[shifted], columns={"label": "truth"}, indices={"start": 1})
    source = open_source(run.folder)  # its classes are recorded
    right = top1(rescore(source, ["embedded"]))
    assert top1(rescore(source, [shifted])) == right
    assert top1(rescore(source, [f"again={shifted}"])) == right
    comparison = api.compare(run.folder.uri, run.folder.uri, labels=shifted)
    assert comparison.accuracies[0].a == right


def test_rescore_reads_another_file_as_it_is_asked_to(run, shifted, tmp_path: Path):
    record(run, labels=["other.csv"], columns={"label": "guess"}, indices={"start": 3})
    source = open_source(run.folder)
    right = top1(rescore(source, ["embedded"]))
    asked = load_label_options(["columns.label=truth", "indices.start=1"])
    target = Folder(str(tmp_path / "out"))
    assert top1(rescore(source, [shifted], target, options=asked)) == right
    written = json.loads(Path(target.root, "run.json").read_text())
    assert written["rescored"]["options"] == {
        "columns": {"label": "truth"},
        "indices": {"start": 1},
    }
    assert written["classes"] == run.class_lines
    with pytest.raises(UsageError, match="seem to count the 20 classes from 1"):
        rescore(source, [shifted], options=LabelOptions(columns=ColumnOptions(label="truth")))


def test_what_is_asked_replaces_one_setting_of_the_run(run, shifted):
    record(run, labels=[shifted], columns={"label": "guess"}, indices={"start": 1})
    source = open_source(run.folder)
    asked = load_label_options(["columns.label=truth"])
    assert top1(rescore(source, [shifted], options=asked)) == top1(rescore(source, ["embedded"]))


def test_options_that_would_change_nothing_are_refused(run):
    record(run)
    with pytest.raises(UsageError, match="change nothing about the embedded labels"):
        rescore(open_source(run.folder), ["embedded"], options=FROM_1)
    with pytest.raises(UsageError, match=r"did you mean 'columns\.label'"):
        load_label_options(["columns.lable=x"])


def test_a_class_list_that_another_user_names_is_not_opened(run, shifted, tmp_path: Path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(run.class_lines))
    record(run, labels=[shifted], indices={"names": str(names)})
    with pytest.raises(UsageError, match=r"was not recorded by this user: name that list"):
        rescore(open_source(run.folder), [shifted])
    asked = load_label_options([f"indices.names={names}", "indices.start=1", "columns.label=truth"])
    assert rescore(open_source(run.folder), [shifted], options=asked).labeled


def test_runs_that_read_a_file_in_different_ways(run, shifted, tmp_path: Path, make_run):
    other = make_run(tmp_path / "other").write()
    record(run, labels=[shifted], columns={"label": "truth"}, indices={"start": 1})
    record(other, labels=[shifted], columns={"label": "truth"}, indices={"start": 0})
    with pytest.raises(UsageError, match="with different columns or indices"):
        api.compare(run.folder.uri, other.folder.uri, labels=shifted)
    asked = load_label_options(["indices.start=1"])
    assert api.compare(run.folder.uri, other.folder.uri, labels=shifted, options=asked).labeled


def test_a_recorded_list_that_is_not_the_networks_is_not_taken(run):
    record(run)
    content = json.loads(Path(run.folder.root, "run.json").read_text())
    content["classes"][0], content["classes"][1] = content["classes"][1], content["classes"][0]
    run.folder.write_json("run.json", content)
    with pytest.raises(UsageError, match="name its class file with --classes"):
        open_source(run.folder)


def test_labels_of_no_image_fail(run, tmp_path: Path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nelsewhere.jpg,n00000003\n")
    record(run)
    source, target = open_source(run.folder), Folder(str(tmp_path / "out"))
    with pytest.raises(JobFailed, match=r"none of the scored images in .* has a label in"):
        rescore(source, [str(labels)], target)
    assert not list(Path(target.root).glob("run.json"))
    with pytest.raises(JobFailed, match="no image in both runs has a label"):
        api.compare(run.folder.uri, run.folder.uri, labels=str(labels))
    assert not rescore(source, [str(labels)], target, max_error_rate=1).labeled
    assert not list(Path(target.root).glob("metrics/*"))
    record(run, max_error_rate=1.0)
    assert not rescore(open_source(run.folder), [str(labels)]).labeled


@pytest.mark.parametrize(
    ("lines", "text", "expected"),
    [
        (
            NAMES,
            "great white shark\n",
            (1,),
        ),
        (NAMES, "goldfish\ntench", (0, 2)),
        (["background", *synset()[:4]], "n01440764\nn01484850\n", (1, 3)),
        (["background", *synset()[:4]], "\ufeffn01484850 great white shark, white shark\r\n", (3,)),
        (["tench", "white shark", "n02 zebra"], "n01440764 n01484850", (0, 1)),
        (["0", "1", "2"], "2\n1", (1, 2)),
    ],
)
def test_subsets_name_classes_by_their_identity(run, tmp_path: Path, lines, text, expected):
    (tmp_path / "some.txt").write_text(text)
    [found] = label_sets([f"embedded@{tmp_path}/some.txt"], run.folder, lines)
    assert found.classes == expected


def test_a_subset_in_doubt_is_refused(run, tmp_path: Path):
    (tmp_path / "some.txt").write_text("crane\n")
    with pytest.raises(UsageError, match=r"'crane' may be class 0 \(crane, bird\) or class 1"):
        label_sets([f"embedded@{tmp_path}/some.txt"], run.folder, ["crane, bird", "crane, machine"])


def test_every_set_of_an_evaluation_is_read_as_asked(net, tmp_path: Path):
    names = write_folder(tmp_path / "images" / "n01440764", 3)
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["file,guess,truth", *(f"{name},5,3" for name in names)]))
    settings = ["columns.label=truth", "indices.start=1"]
    config = configure(
        net, tmp_path / "out", tmp_path / "images", *settings, labels=(str(path), "embedded")
    )
    scored = api.evaluate(config)
    counted = {
        result.name: result.per_class.filter(pc.field("n") > 0)["class_index"].to_pylist()
        for result in scored.evaluation.results
    }
    assert counted == {"labels": [2], "embedded": [0]}
    assert set(api.load_predictions(str(tmp_path / "out"))["label"].to_pylist()) == {0}
    again = api.rescore(str(tmp_path / "out"), [str(path)])
    assert again.results[0].per_class.equals(scored.evaluation.results[0].per_class)
