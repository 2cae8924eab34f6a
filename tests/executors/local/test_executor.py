"""The local executor with real workers, which are killed, stopped and hung."""

import logging
import os
import signal
from dataclasses import replace

import psutil
import pytest
from PIL import Image

from tests.executors import plain
from tests.support.crashing import HANG, MAGIC, classifier_environment, environment
from tests.support.images import write_folder
from vggbatch.config import ComputeOptions
from vggbatch.errors import JobFailed
from vggbatch.executors.choose import executor_for
from vggbatch.executors.local import process, timeouts
from vggbatch.output.progress import Progress
from vggbatch.runs.finish import finish
from vggbatch.runs.run import run

COUNT = 60
CHUNK = plain.CHUNK


@pytest.fixture
def images(tmp_path):
    write_folder(tmp_path / "images", COUNT)
    return tmp_path / "images"


def score(job, on_progress=None):
    """The finished run's record."""
    with (
        executor_for(ComputeOptions(executor="local")) as executor,
        run(job, executor, on_progress) as result,
    ):
        return finish(job, result)


def errors_of(job):
    from vggbatch import api

    rows = api.load_predictions(job.config.output, ["image_id", "error"]).to_pylist()
    assert len(rows) == len({row["image_id"] for row in rows})
    return {row["image_id"]: row["error"] for row in rows if row["error"]}


def workers():
    return [
        child
        for child in psutil.Process().children()
        if "local.worker" in " ".join(child.cmdline())
    ]


class Once:
    """Does something to a worker after the first rows, and keeps the notes."""

    def __init__(self, action):
        self.action, self.notes = action, []

    def __call__(self, snapshot):
        if snapshot.note:
            self.notes.append(snapshot.note)
        if snapshot.rows and self.action is not None:
            action, self.action = self.action, None
            action(workers()[0])


def test_gives_the_rows_of_the_stages_one_after_the_other(net, images, tmp_path, caplog):
    """With 17 classifiers: three processes."""
    settings = ("compute.num_cpus=17", "compute.actors=17", "compute.threads=1")
    job = plain.job_of(net, images, tmp_path / "out", *settings)
    work = plain.work_of(job)
    caplog.set_level(logging.INFO, "vggbatch")
    with executor_for(ComputeOptions(executor="local")) as executor:
        placement = executor.check(job, pytest.fail)
        assert placement.actors == 17
        results = [result for result in executor.run(work) if result is not None]
        assert [slot.classifiers for slot in executor._slots] == [6, 6, 5]
        assert len(workers()) == 3
        assert executor.waiting_for() is None
    assert workers() == []
    other = plain.work_of(plain.job_of(net, images, tmp_path / "plain"))
    expected = plain.score(other)
    assert {result.key for result in results} == {result.key for result in expected}
    assert len(results) == len(expected)
    assert plain.staged(work.output) == plain.staged(other.output)
    started = [line for line in caplog.records if line.message == "classifier started"]
    assert {line.run_id for line in started} == {"test"}


def test_does_what_is_left_and_no_more(net, images, tmp_path):
    job = plain.job_of(net, images, tmp_path / "out")
    work = plain.work_of(job)
    done = plain.score_with(work.context(plain.placement_of(job)), work.rows(work.shards))[:5]
    progress = Progress()
    for result in done:
        progress.commit(result.key, result.stats.rows)
    left = replace(work, progress=progress)
    with executor_for(ComputeOptions(executor="local")) as executor:
        executor.check(job, pytest.fail)
        found = {result.key for result in executor.run(left) if result is not None}
    assert len(found) == COUNT // CHUNK - 5
    assert not found & {result.key for result in done}


def test_a_killed_worker_is_replaced_and_nothing_is_lost(net, images, tmp_path):
    job = plain.job_of(net, images, tmp_path / "out")
    on_progress = Once(psutil.Process.kill)
    record = score(job, on_progress)
    assert on_progress.notes == [
        "a scoring process was ended by SIGKILL; what it had is done again, with more care"
    ]
    assert record["counts"]["images"] == COUNT
    assert errors_of(job) == {}
    assert workers() == []


@pytest.mark.slow
def test_a_stopped_worker_is_ended_and_replaced(net, images, tmp_path, monkeypatch):
    monkeypatch.setattr(timeouts, "SILENCE_TIMEOUT_S", 4.0)
    job = plain.job_of(net, images, tmp_path / "out")
    on_progress = Once(psutil.Process.suspend)
    assert score(job, on_progress)["counts"]["images"] == COUNT
    assert "a scoring process did not answer for 4 s" in on_progress.notes[0]
    assert errors_of(job) == {}


def test_an_image_that_kills_its_worker_becomes_an_error_row(net, images, tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (images / "00007x.jpg").write_bytes(MAGIC + bytes(500))
    job = plain.job_of(net, images, tmp_path / "out")
    record = score(job)
    assert record["counts"]["errors_by_kind"] == {"crash": 1}
    crashed = "crash: the decoding process ended with signal 11"
    assert errors_of(job) == {"00007x.jpg": crashed}


IMPATIENT = """
import sys
if "vggbatch.executors.local.worker" in sys.orig_argv:
    from vggbatch.preprocess.isolated import IsolatedDecoder
    IsolatedDecoder.__init__.__kwdefaults__["seconds"] = 20.0
"""


@pytest.mark.slow
def test_an_image_that_hangs_its_worker_becomes_an_error_row(net, images, tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "sitecustomize.py").open("a") as file:
        file.write(IMPATIENT)
    monkeypatch.setattr(timeouts, "CHUNK_TIMEOUT_S", 3.0)
    monkeypatch.setattr(timeouts, "_CROP_TIMEOUT_S", 0.0)
    (images / "00007x.jpg").write_bytes(HANG + bytes(500))
    job = plain.job_of(net, images, tmp_path / "out")
    on_progress = Once(None)
    score(job, on_progress)
    assert on_progress.notes == [
        "a scoring process did not end within 3 s; what it had is done again, with more care"
    ]
    assert errors_of(job) == {"00007x.jpg": "timeout: decoding did not end within 20 s"}


@pytest.mark.slow
def test_an_image_that_kills_its_classifier_ends_the_run_with_the_others_safe(
    net, images, tmp_path, monkeypatch
):
    for name, value in classifier_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    Image.new("RGB", (72, 56), "white").save(images / "00007x.png")
    job = plain.job_of(net, images, tmp_path / "out")
    with pytest.raises(JobFailed) as caught:
        score(job)
    assert str(caught.value) == (
        "a chunk failed with: worker: scoring the chunk alone, its process was ended by SIGSEGV; "
        f"{COUNT + 1 - CHUNK} rows are safe, run the same command again to continue"
    )


def test_workers_that_never_get_ready_end_the_run_with_the_reason(
    net, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(process, "_MODULE", "vggbatch.nothing_here")
    job = plain.job_of(net, images, tmp_path / "out")
    with pytest.raises(
        JobFailed, match="3 scoring processes in a row ended before they were ready"
    ):
        score(job)
    assert workers() == []


FAILING = """
import sys
if "vggbatch.executors.local.worker" in sys.orig_argv:
    from vggbatch.sources import base
    def members(self, *words):
        raise OSError("no such disk")
    base.Reader.members = members
"""


def test_an_interrupted_run_leaves_no_worker(net, images, tmp_path):
    job = plain.job_of(net, images, tmp_path / "out")

    def interrupt(worker):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        score(job, Once(interrupt))
    assert workers() == []
    assert score(job)["this_run"]["images"] < COUNT
    assert errors_of(job) == {}


def test_a_failed_chunk_is_logged_where_log_lines_are_asked_for_and_nowhere_else(
    net, images, tmp_path, monkeypatch, capfd
):
    """Python prints warnings and errors by itself where no handler is set up."""
    (tmp_path / "sitecustomize.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = plain.job_of(net, images, tmp_path / "out")
    monkeypatch.setattr(logging.root, "handlers", [])
    with pytest.raises(JobFailed, match="index: OSError: no such disk"):
        score(job)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler()])
    with pytest.raises(JobFailed):
        score(job)
    said = capfd.readouterr().err
    assert "chunk failed" in said
    assert "OSError: no such disk" in said
