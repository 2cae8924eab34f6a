"""What `plan` says a job takes, and what it then takes."""

import math
import os
import time

import pytest

import vggbatch
from tests.support.here import Here
from tests.support.images import write_folder
from vggbatch import api
from vggbatch.cli.commands.plan import seconds_of
from vggbatch.config import load_config
from vggbatch.errors import UsageError
from vggbatch.job.job import prepare_job
from vggbatch.runs.planning.estimate import _FINISH_S
from vggbatch.runs.planning.trial import NotMeasured, try_out


@pytest.fixture
def images(tmp_path):
    write_folder(tmp_path / "images", 60)
    return str(tmp_path / "images")


def test_the_parts_add_up_and_nothing_is_left(images, net, tmp_path):
    options = {"model": str(net), "compute": {"pin": False, "threads": 1}}
    began, out = time.perf_counter(), tmp_path / "out"
    found = vggbatch.plan(images, output=out, measure=True, within=3600, **options).estimate
    assert time.perf_counter() - began < 60
    assert not out.exists()
    trial = found.trial
    assert found.images == 60
    assert trial.images > 0
    assert trial.cores == found.cores
    work = 60 * trial.core_seconds
    assert found.score_seconds == pytest.approx(work / found.cores)
    parts = (found.prepare_seconds, found.start_seconds, found.score_seconds, _FINISH_S)
    assert found.seconds == pytest.approx(sum(parts))
    assert found.core_hours == pytest.approx(found.cores * found.seconds / 3600)
    fixed = found.seconds - found.score_seconds
    assert found.cores_within == max(1, math.ceil(work / (3600 - fixed)))
    sizes = [os.path.getsize(os.path.join(images, name)) for name in os.listdir(images)]
    assert trial.image_bytes == pytest.approx(sum(sizes) / len(sizes), rel=0.2)


@pytest.mark.slow
def test_what_a_row_takes_on_disk_is_near_what_it_then_takes(images, net, tmp_path):
    options = {"model": str(net), "features": "float32", "compute": {"pin": False}}
    found = vggbatch.plan(images, output=tmp_path / "out", measure=True, **options).estimate
    record = api.score(images, output=tmp_path / "out", executor=Here(), **options).record
    assert found.output_bytes == pytest.approx(sum(f["bytes"] for f in record["files"]), rel=0.5)
    done = vggbatch.plan(images, output=tmp_path / "out", measure=True, **options).estimate
    assert (done.images, done.trial, done.seconds) == (0, None, None)


def test_without_a_measurement_no_time_is_said(images, net, tmp_path):
    found = vggbatch.plan(images, output=tmp_path / "out", model=str(net)).estimate
    assert (found.trial, found.seconds, found.core_hours, found.output_bytes) == (None,) * 4
    assert found.memory_bytes > 200 * 2**20


def test_a_large_network_that_is_not_prepared_is_not_tried_out(images, tmp_path):
    values = {"input": (images,), "model": "vgg16-7@synthetic", "output": str(tmp_path / "out")}
    job = prepare_job(load_config(options=values | {"cache_dir": str(tmp_path)}, environ={}))
    with pytest.raises(NotMeasured, match="models prepare vgg16-7@synthetic"):
        try_out(job, 500_000_000)


@pytest.mark.slow
def test_images_that_cannot_be_read_are_no_obstacle(net, tmp_path):
    names = write_folder(tmp_path / "images", 12)
    for name in names[::3]:
        (tmp_path / "images" / name).write_bytes(b"no image")
    options = {"model": str(net), "compute": {"pin": False}}
    found = vggbatch.plan(tmp_path / "images", output=tmp_path / "o", measure=True, **options)
    assert found.estimate.trial.images > 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("3d", 259200), ("10min", 600)],
)
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "0h", "2 weeks", "1m2h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="name a time such as"):
        seconds_of(text)
