"""What finished outputs are worth that have lost something, and what the repeated command does."""

import json
import logging
import re
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.scored import content, evaluate, score
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.errors import JobFailed, UsageError
from vggbatch.job.job import prepare_job
from vggbatch.output.verify import believe, problems
from vggbatch.runs.finish import finish
from vggbatch.runs.run import run
from vggbatch.storage.filesystem import Folder

COUNT = 24


@pytest.fixture(scope="module")
def job(net, tmp_path_factory):
    """Settings of a job with two profiles and several groups; the output is to be named."""
    root = tmp_path_factory.mktemp("verify")
    names = write_folder(root / "images", COUNT)
    (root / "tars").mkdir()
    for number in range(3):
        with tarfile.open(root / f"tars/{number}.tar", "w") as tar:
            for name in names[number::3]:
                tar.add(root / "images" / name, name)
    (root / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    options = {"input": (str(root / "tars"),), "model": str(net)}
    options |= {"labels": [str(root / "labels.csv")]}
    zoo, squash = {"resize": 36, "crop": 32}, {"resize": 40, "crop": 32, "resize_mode": "squash"}
    options |= {"profiles": {"zoo": zoo, "squash": squash}}

    def make(output, **more):
        settings = ["chunk_size=4", "rows_per_file=1"]
        return load_config(
            options={**options, "output": str(output), **more}, settings=settings, environ={}
        )

    return make


@pytest.fixture(scope="module")
def finished(job, tmp_path_factory):
    """An output that was evaluated, without Ray; never changed."""
    path = tmp_path_factory.mktemp("finished") / "out"
    evaluate(job(path))
    return path


@pytest.fixture
def out(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "out"))


def first(out, folder="predictions", number=0):
    return sorted((out / folder).rglob("*.parquet"))[number]


def torn(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


SQUASH = "profiles/squash"
OTHER = json.dumps({"format": 2, "plan": "0" * 16, "files_sha256": "0"})

DAMAGE = {
    "a predictions file deleted": lambda out, n=0: first(out, number=n).unlink(),
    "a predictions file emptied": lambda out, n=0: first(out, number=n).write_bytes(b""),
    "a predictions file torn": lambda out, n=0: torn(first(out, number=n)),
    "a predictions file of zeros": lambda out, n=0: zeroed(first(out, number=n)),
    "another file in its place": lambda out, n=0: shutil.copy(
        first(out, number=n + 1), first(out, number=n)
    ),
    "a further profile's file deleted": lambda out, n=0: first(
        out, f"{SQUASH}/predictions", n
    ).unlink(),
    "all predictions deleted": lambda out, n=0: shutil.rmtree(out / "predictions"),
    "a further profile's run.json deleted": lambda out, n=0: (out / SQUASH / "run.json").unlink(),
    "run.json deleted": lambda out, n=0: (out / "run.json").unlink(),
    "run.json emptied": lambda out, n=0: (out / "run.json").write_bytes(b""),
    "_SUCCESS emptied": lambda out, n=0: (out / "_SUCCESS").write_bytes(b""),
    "_SUCCESS of another run": lambda out, n=0: (out / "_SUCCESS").write_text(OTHER),
    "a metrics table deleted": lambda out, n=0: first(out, "metrics").unlink(),
    "a metrics table torn": lambda out, n=0: torn(first(out, "metrics")),
    "a further profile's metrics deleted": lambda out, n=0: shutil.rmtree(out / SQUASH / "metrics"),
}
ROWS = list(DAMAGE)[:7]
DOCUMENTS = [what for what in DAMAGE if ".json" in what or "_SUCCESS" in what]
METRICS = list(DAMAGE)[-3:]


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_is_not_believed(out, what):
    DAMAGE[what](out)
    assert problems(Folder(str(out)))
    status = api.status(str(out))
    assert (status.state, status.total) == ("damaged", COUNT)
    assert status.waiting
    with pytest.raises(UsageError, match=r"is not whole: .*Repeat the command"):
        api.load_predictions(str(out))
    with pytest.raises(UsageError, match="is not whole"):
        api.load_run(str(out))
    with pytest.raises(UsageError, match="is not whole"):
        api.write_report(str(out))
    with pytest.raises(UsageError, match="is not whole"):
        api.rescore(str(out), "embedded")


@pytest.mark.parametrize(
    "what", [ROWS[:3], [*ROWS[3:6], METRICS[0]], ROWS[6:], METRICS[1:], DOCUMENTS]
)
def test_what_is_damaged_is_made_again(finished, out, job, what, caplog):
    for number, one in enumerate(what):
        DAMAGE[one](out, number)
    with caplog.at_level(logging.WARNING):
        scored = evaluate(job(out))
    assert "made again" in caplog.text
    assert content(out) == content(finished)
    assert not problems(Folder(str(out)))
    assert api.status(str(out)).state == "complete"
    assert (scored > 0) == any(one in ROWS for one in what)
    assert scored < COUNT or what == ROWS[6:]


def test_indexes_markers_and_strays(finished, out, job):
    """A damaged index is made again, a group with a damaged marker scored again."""
    shutil.copy(first(out), out / "predictions/part-000099.parquet")
    assert api.load_predictions(str(out)).num_rows == COUNT
    (out / "_SUCCESS").unlink()
    sorted(out.glob("_vggbatch/*/groups/*.json"))[1].write_bytes(b"")
    (out / "_vggbatch/.mark-1").write_bytes(b"")
    (out / "_vggbatch/0123456789abcdef/staging").mkdir(parents=True)
    assert 0 < evaluate(job(out)) < COUNT
    assert content(out) == content(finished)
    [plan] = (path.name for path in (out / "_vggbatch").iterdir() if path.is_dir())
    assert plan != "0123456789abcdef"
    assert not list(out.glob("_vggbatch/.*"))


def test_a_damaged_page_is_said_with_its_file_which_can_be_deleted(finished, out, job, tmp_path):
    """A file of the same size and footer: nothing but reading its rows finds that."""
    broken = first(out)
    start = pq.read_metadata(broken).row_group(0).column(0).data_page_offset
    data = bytearray(broken.read_bytes())
    for place in range(start + 30, start + 60):
        data[place] ^= 0x5A
    broken.write_bytes(data)
    labels = json.loads((out / "_vggbatch/plan.json").read_text())["labels"]
    for command in (
        lambda: api.load_predictions(str(out)),
        lambda: api.rescore(str(out), labels),
        lambda: api.compare(str(out), str(finished)),
        lambda: api.write_report(str(out)),
        lambda: api.forget(str(out), ["0.tar/00000.jpg"]),
    ):
        with pytest.raises(UsageError, match=rf"{broken} is damaged .* delete this file and repea"):
            command()
    broken.unlink()
    assert 0 < evaluate(job(out)) < COUNT
    assert content(out) == content(finished)


def test_a_number_of_run_json_that_has_changed_is_noticed(finished, out, job):
    """A document that can still be read and has another value, as of a damaged disk."""
    for place in (out, out / SQUASH):
        text = (place / "run.json").read_text()
        number = json.loads(text)["metrics"][0]["value"]
        (place / "run.json").write_text(text.replace(json.dumps(number), json.dumps(number + 1)))
        with pytest.raises(UsageError, match=r"another run than run\.json, or one"):
            api.load_run(str(out))
    assert score(job(out)) == 0  # which keeps metrics of the same rows, if they are those
    assert json.loads((out / "run.json").read_text())["metrics"] is None
    assert evaluate(job(out)) == 0
    for place in ("", SQUASH):
        one, two = (json.loads((o / place / "run.json").read_text()) for o in (out, finished))
        assert one["metrics"] == two["metrics"]
    assert content(out) == content(finished)
    # as of a version that did not record it
    success = json.loads((out / "_SUCCESS").read_text())
    del success["record_sha256"]
    (out / "_SUCCESS").write_text(json.dumps(success))
    assert not problems(Folder(str(out)))


MARKERS = {
    "deleted": lambda marker, _: marker.unlink(),
    "emptied": lambda marker, _: marker.write_bytes(b""),
    "of another group": lambda marker, other: shutil.copy(other, marker),
    "of another run": lambda marker, _: marker.write_text(
        re.sub(r'("plan": ")[0-9a-f]{16}', r"\g<1>0123456789abcdef", marker.read_text())
    ),
    "with other rows": lambda marker, _: marker.write_text(
        marker.read_text().replace('"rows": 8,', '"rows": 7,', 1)
    ),
}


def test_a_group_of_a_complete_output_without_its_marker_is_scored_again(finished, out, job):
    """Its rows can be read; a revision or a merge goes by markers, and would lose them."""
    other, marker, _ = sorted(out.glob("_vggbatch/*/groups/*.json"))
    kept = marker.read_bytes()
    for harm in MARKERS.values():
        marker.write_bytes(kept)
        assert api.status(str(out)).state == "complete"
        harm(marker, other)
        assert api.load_predictions(str(out), ["image_id"]).num_rows == COUNT
        assert api.status(str(out)).state == "damaged"
        with pytest.raises(UsageError, match=r"is not whole: .* Repeat the command"):
            api.forget(str(out), ["0.tar/00000.jpg"])
        with pytest.raises(UsageError, match=r"is not whole: .* Repeat the command"):
            api.merge([str(out)], str(out.parent / "merged"))
    assert 0 < evaluate(job(out)) < COUNT
    assert content(out) == content(finished)
    assert api.status(str(out)).state == "complete"
    assert evaluate(job(out)) == 0


def test_rates_of_the_run_that_scored_are_kept(out, job):
    before = json.loads((out / "run.json").read_text())
    shutil.rmtree(out / "metrics")
    evaluate(job(out))
    after = json.loads((out / "run.json").read_text())
    assert after["rates"] == before["rates"]
    assert after["this_run"] == before["this_run"]


def test_score_keeps_metrics_of_the_same_rows_and_evaluate_adds_them(finished, job, tmp_path):
    out = tmp_path / "out"
    score(job(out))
    assert not (out / "metrics").exists()
    evaluate(job(out))
    assert content(out) == content(finished)
    first(out).unlink()
    score(job(out))
    assert content(out) == content(finished)
    torn(first(out, "metrics"))
    score(job(out))
    assert not (out / "metrics").exists()


def test_files_that_go_while_the_run_is_at_work_are_noticed(job, tmp_path):
    out = tmp_path / "out"
    asked = prepare_job(job(out))
    with run(asked, Here()) as result:
        first(out).unlink()
        with pytest.raises(JobFailed, match=r"is missing, though this run wrote it"):
            finish(asked, result)
    assert not (out / "_SUCCESS").exists()
    assert 0 < score(job(out)) < COUNT
    assert api.load_predictions(str(out)).num_rows == COUNT


def test_an_unfinished_run_is_refused_or_taken_as_it_is(out, job, caplog):
    (out / "_SUCCESS").unlink()
    (out / "run.json").unlink()
    lost = first(out)
    rows = pq.read_metadata(lost).num_rows
    lost.unlink()
    refused = r"is not finished: \d+ of ~?24 images are scored and safe"
    labels = json.loads((out / "_vggbatch/plan.json").read_text())["labels"]
    for command in (
        lambda: api.load_predictions(str(out)),
        lambda: api.rescore(str(out), labels),
        lambda: api.compare(str(out), str(out)),
        lambda: api.write_report(str(out)),
    ):
        with pytest.raises(UsageError, match=refused):
            command()
    (marker,) = (m for m in out.glob("_vggbatch/*/groups/*.json") if lost.name in m.read_text())
    group = json.loads(marker.read_text())["rows"]
    assert group >= rows
    there = f"is not finished: {COUNT - group} of ~24 images are in its predictions"
    with caplog.at_level(logging.WARNING):
        assert api.load_predictions(str(out), partial=True).num_rows == COUNT - group
    assert there in caplog.text
    assert api.rescore(str(out), labels, partial=True).metrics[0].n == COUNT - group
    assert api.compare(str(out), str(out), partial=True).images == COUNT - group
    for name in ("_SUCCESS", "run.json"):
        (out / "profiles/squash" / name).unlink()
    with pytest.raises(UsageError, match="not finished"):
        believe(Folder(str(out / "profiles/squash")))


def test_predictions_of_unknown_origin_are_taken_as_they_are(out, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(out / "predictions", plain / "predictions")
    assert believe(Folder(str(plain))) is None
    assert api.load_predictions(str(plain)).num_rows == COUNT


def test_rescored_outputs_are_checked(out, tmp_path):
    labels = json.loads((out / "_vggbatch/plan.json").read_text())["labels"]
    target = tmp_path / "rescored"
    api.rescore(str(out), labels, str(target))
    assert not problems(Folder(str(target)))
    names = {path.name for path in target.iterdir()} - {"_vggbatch"}
    assert names == {"_SUCCESS", "metrics", "run.json"}
    api.write_report(str(target), gallery=4)
    torn(first(target, "metrics"))
    with pytest.raises(UsageError, match=r"metrics/\S+\.parquet has \d+ bytes instead of"):
        api.write_report(str(target))
    api.rescore(str(out), labels, str(target))
    assert not problems(Folder(str(target)))


def test_metrics_that_were_being_written_again_are_not_believed(out, tmp_path):
    labels = json.loads((out / "_vggbatch/plan.json").read_text())["labels"]
    target = tmp_path / "rescored"
    api.rescore(str(out), labels, str(target))
    for place in (target, out):
        # as of a command that was killed after it had written some of them
        (place / "_SUCCESS").unlink()
        table = first(place, "metrics")
        shutil.copy(place / "run.json", table)
        for command in (api.load_run, api.write_report):
            with pytest.raises(UsageError, match=r"(is not finished|is not whole).* [Rr]epeat"):
                command(str(place))
