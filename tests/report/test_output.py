import shutil

import pytest

from vggbatch.errors import UsageError
from vggbatch.report.output import open_output
from vggbatch.storage.filesystem import Folder


def test_an_unfinished_run_says_how_far_it_is(run, tmp_path):
    output = shutil.copytree(run, tmp_path / "out")
    (output / "run.json").unlink()
    (output / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match=r"not finished: 61 of 61 images"):
        open_output(Folder(str(output)))


def test_a_run_with_its_tables(run):
    output = open_output(Folder(str(run)))
    assert output.succeeded
    assert not output.synthetic
    assert output.title == "net.onnx"
    assert [line.metric for line in output.metrics()][:2] == ["top1", "top5"]
    assert output.table("nothing") is None
    lines = output.class_lines()
    assert lines[0] == "n01440764 tench, Tinca tinca"
    assert output.label_set(lines).name == output.metrics()[0].label_set


def test_classes_that_only_the_project_knows(unlabeled_run):
    output = open_output(Folder(str(unlabeled_run)))
    assert output.metrics() == []
    assert output.class_lines()[999] == "n15075141 toilet tissue, toilet paper, bathroom tissue"
    output.record["model"]["classes_sha256"] = "another network's"
    assert output.class_lines() == {}
