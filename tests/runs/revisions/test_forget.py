"""Images are taken out of an output: of rows, features, metrics and pages; the rest stays."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.night import Night, killed_at
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.output.layout import Output
from vggbatch.output.switch import is_unfinished
from vggbatch.storage.filesystem import Folder

GONE = {"00002.jpg", "a.tar/00101.jpg", "00003x.jpg"}


@pytest.fixture(scope="module")
def scored_night(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("nights")
    (root / "night").mkdir()
    night = Night(root / "night", net)
    night.score()
    return night.kept(root / "aside")


@pytest.fixture
def night(scored_night):
    return scored_night()


def named_anywhere(out, text):
    return [
        path for path in out.rglob("*") if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_rows_go_and_all_others_stay_as_they_were(night, caplog):
    before = night.rows()
    api.write_report(str(night.out))
    files = {path: path.read_bytes() for path in (night.out / "predictions").iterdir()}
    assert api.forget(str(night.out), ["00002.jpg", "no such image"]) == 1
    assert f"1 of the named images have no row in {night.out}: no such image" in caplog.text
    assert night.rows() == [row for row in before if row["image_id"] != "00002.jpg"]
    stayed = [path for path in files if path.exists() and path.read_bytes() == files[path]]
    assert len(stayed) == len(files) - 1, "only the file that had it is written again"
    assert not (night.out / "report.html").exists()
    record = api.load_run(str(night.out))
    assert record["counts"]["images"] == len(before) - 1
    assert record["history"][-1]["removed"] == 1
    assert api.status(str(night.out)).state == "complete"


def test_nothing_in_the_output_names_them(night):
    api.write_report(str(night.out))
    assert api.forget(str(night.out), GONE) == 3
    assert not any(row["image_id"] in GONE for row in night.rows())
    for path in (night.out / "_vggbatch").rglob("shards.parquet"):
        text = json.dumps(pq.read_table(path).to_pylist(), default=str)
        assert not [name for name in GONE if name.rpartition("/")[2] in text]
    assert not named_anywhere(night.out, "00003x.jpg")
    assert api.forget(str(night.out), GONE) == 0


def test_metrics_are_those_of_the_rest(night):
    api.forget(str(night.out), GONE)
    rest = night.folder / "rest"
    for name in ("00002.jpg", "00003x.jpg"):
        (night.images / name).unlink()
    night.score(out=rest)
    api.forget(str(rest), ["a.tar/00101.jpg"])
    of_rest = {line["metric"]: line for line in api.load_run(str(rest))["metrics"]}
    for line in api.load_run(str(night.out))["metrics"]:
        if line["metric"] in ("top1", "top5", "mean_per_class_top1", "ece", "error_rate"):
            assert line == of_rest[line["metric"]]
    assert night.rows() == night.rows(rest)


def test_an_output_of_which_all_is_forgotten_is_an_empty_one(night):
    names = [row["image_id"] for row in night.rows()]
    assert api.forget(str(night.out), names) == len(names)
    assert api.status(str(night.out)).rows == 0
    assert api.load_run(str(night.out))["files"] == []


@pytest.mark.slow
def test_features_and_profiles_go_too(tmp_path, net):
    night = Night(tmp_path, net)
    many = {"profiles": {"x": {"resize": 40, "crop": 32}, "y": {"resize": 36, "crop": 32}}}
    night.score(**many)
    api.forget(str(night.out), ["00002.jpg"])
    for place in ("", "/profiles/y"):
        rows = night.rows(f"{night.out}{place}")
        assert len(rows) == 14
        assert "00002.jpg" not in {row["image_id"] for row in rows}
        assert len(api.load_predictions(f"{night.out}{place}")) == 14


def test_what_an_interrupted_append_has_scored_is_forgotten_too(night):
    write_folder(night.images, 6, start=20)
    with pytest.raises(KeyboardInterrupt):
        night.score(append=True, executor=Here(stop=1))
    api.forget(str(night.out), ["00002.jpg"])
    assert not (night.out / "_vggbatch/next").exists()
    (night.images / "00002.jpg").unlink()
    night.score(append=True)
    assert night.rows() == night.fresh()[0]


@pytest.mark.slow
def test_an_image_that_is_still_in_the_input_is_new_to_an_append(night):
    api.forget(str(night.out), ["00002.jpg"])
    with pytest.raises(UsageError, match=r"1 added \(00002\.jpg\)"):
        night.score()
    assert night.score(append=True)[1] == ["00002.jpg"]


def test_a_text_is_no_list_of_images(night):
    with pytest.raises(UsageError, match=r"images is a list of image ids"):
        api.forget(str(night.out), "00002.jpg")
    assert len(night.rows()) == 15


def test_what_is_no_finished_output_is_refused(tmp_path, net):
    night = Night(tmp_path, net)
    with pytest.raises(KeyboardInterrupt):
        night.score(executor=Here(stop=1))
    with pytest.raises(UsageError, match="not finished"):
        api.forget(str(night.out), ["00002.jpg"])


def test_a_page_is_about_a_generation_that_is_whole(night, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    expected = [row for row in night.rows() if row["image_id"] not in GONE]
    monkeypatch.setattr("vggbatch.output.switch.complete_switch", killed)
    with pytest.raises(KeyboardInterrupt):
        api.forget(str(night.out), GONE)
    monkeypatch.undo()
    output = Output(Folder(str(night.out)))
    assert is_unfinished(output)
    shutil.copytree(night.out, night.folder / "half")
    api.write_report(str(night.out), gallery=1)
    assert not is_unfinished(output)
    assert night.rows() == expected
    # without what it was to say, run.json is of the generation before, and the state of the next
    shutil.rmtree(night.out)
    shutil.copytree(night.folder / "half", night.out)
    (records,) = night.out.glob("_vggbatch/*/records.json")
    records.unlink()
    with pytest.raises(UsageError, match=r"another generation .* Repeat the command"):
        api.forget(str(night.out), GONE)
    night.score(append=True)
    assert [row for row in night.rows() if row["image_id"] not in GONE] == expected
    assert api.status(str(night.out)).state == "complete"


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_every_write_of_it_may_be_the_last(night, monkeypatch, step):
    base = night.folder / "base"
    shutil.copytree(night.out, base)
    before = night.rows()
    expected = [row for row in before if row["image_id"] not in GONE]

    def command():
        api.forget(str(night.out), GONE)

    operations = 0
    for number in range(0, 900, step):
        shutil.rmtree(night.out)
        shutil.copytree(base, night.out)
        if not killed_at(number, command, monkeypatch):
            break
        operations += 1
        read = api.load_predictions(str(night.out)).sort_by("image_id").to_pylist()
        assert read in (before, expected), number
        command()
        assert night.rows() == expected, number
        assert api.status(str(night.out)).state == "complete"
        assert len(list((night.out / "_vggbatch").iterdir())) == 2, number
    assert operations * step > 15
