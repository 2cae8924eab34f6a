"""A run that scored next to nothing is no success, and says what its input was taken for."""

import json

import pytest

from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.config import job_config
from vggbatch.errors import JobFailed
from vggbatch.job.job import prepare_job
from vggbatch.runs.verdict import judge

pytestmark = pytest.mark.usefixtures("scored_here")


@pytest.fixture
def options(tmp_path):
    net = color_net(tmp_path / "net.onnx")
    return {
        "model": str(net),
        "output": str(tmp_path / "out"),
        "cache_dir": str(tmp_path / "cache"),
    }


def mixed(tmp_path, *, good, bad):
    folder = tmp_path / "images"
    for name in write_folder(folder, good + bad)[good:]:
        (folder / name).write_bytes(b"no image")
    return str(folder)


def record(tmp_path):
    return json.loads((tmp_path / "out" / "run.json").read_text())


def test_more_than_half_fails_and_half_does_not(tmp_path, options):
    folder = mixed(tmp_path, good=2, bad=2)
    assert api.score(folder, **options).record["warnings"] == []
    folder = mixed(tmp_path, good=1, bad=3)
    with pytest.raises(JobFailed, match=r"3 of 4 images \(75.00%\) could not be scored, over") as e:
        api.score(folder, **options, overwrite=True)
    assert "\n" not in str(e.value)
    assert "images was taken for image files" in str(e.value)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert record(tmp_path)["warnings"] == [str(e.value)]
    # repeated, it fails again; allowed, it is a warning
    with pytest.raises(JobFailed, match="3 of 4"):
        api.score(folder, **options)
    allowed = api.score(folder, **options, max_error_rate=0.8)
    assert "could not be scored: " in allowed.record["warnings"][0]
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_a_list_of_what_is_not_there_says_what_it_was_taken_for(tmp_path, options):
    listed = tmp_path / "labels.csv"
    listed.write_text("file,class_index\n" + "".join(f"{i}.jpg,3\n" for i in range(3)))
    with pytest.raises(JobFailed, match=r"none of 3 images could be scored") as error:
        api.score(str(listed), **options)
    assert "labels.csv was taken for a list of paths of images" in str(error.value)


def test_labels_that_no_image_has(tmp_path, options):
    folder = mixed(tmp_path, good=3, bad=0)
    result = api.score(folder, **options).result
    for limit, fails in ((None, True), (0.5, True), (1.0, False)):
        job = prepare_job(job_config(folder, options | {"max_error_rate": limit}))
        verdict = judge(job, result, labeled=0)
        assert verdict.fails is fails
        assert "none of 3 images has a label in" in verdict.message
        assert "images was taken for image files" in verdict.message
        assert judge(job, result, labeled=1) is None


def test_assumptions_are_in_the_plan_and_in_run_json(tmp_path, options):
    folder = mixed(tmp_path, good=2, bad=0)
    known = {a["what"] for a in api.score(folder, **options).record["assumptions"]}
    assert known == {"layout", "output", "classes"}
    (tmp_path / "net.yaml").write_text("layout: NCHW\n")
    parts = {"resize": 36, "crop": 32}
    planned = api.plan(folder, **options | {"output": str(tmp_path / "two")}, profiles={"a": parts})
    assert {a["what"] for a in planned.to_json()["assumptions"]} == {"output", "classes"}
    (warned,) = [a for a in planned.job.model.assumptions if a.warning]
    assert "short side 256, bilinear, crop 224, RGB, scale 255, mean 0.485" in warned.sentence()
    assert "--set model.preprocess" in warned.sentence()
