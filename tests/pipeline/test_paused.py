"""A driver that is paused at any moment, and finds its output taken over when it continues."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.support.here import runs_here
from tests.support.images import write_folder
from tests.support.scored import content
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.output.ownership import claim, fence
from vggbatch.output.ownership.fence import LeaseLost
from vggbatch.output.ownership.lease import NAME
from vggbatch.output.verify import problems
from vggbatch.storage.filesystem import Folder

COUNT = 16
POINTS = ("predictions/", "/groups/", "metrics/", "run.json", "_SUCCESS", "plan.json")
QUICK = ("predictions/", "run.json", "_SUCCESS")


@pytest.fixture(scope="module")
def job(net, tmp_path_factory):
    root = tmp_path_factory.mktemp("paused")
    names = write_folder(root / "images", COUNT)
    (root / "labels.csv").write_text("".join(f"{name},{n}\n" for n, name in enumerate(names)))
    given = {"input": (str(root / "images"),), "model": str(net)}

    def make(output, *settings, labels=True, **more):
        options = {**given, **more, "output": str(output)}
        if labels:
            options["labels"] = [str(root / "labels.csv")]
        return load_config(options=options, settings=["chunk_size=4", *settings], environ={})

    return make


@pytest.fixture(scope="module")
def calm(job, tmp_path_factory):
    """What the second driver leaves where there is no first."""
    path = tmp_path_factory.mktemp("calm") / "out"
    with runs_here():
        api.score(job(path, "decode.truncated=true", labels=False))
    return path


def state(path):
    """All that is in an output, by name."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def take_over(out):
    """As a run on another machine does, which cannot see the process and hears no renewal."""
    folder = Folder(str(out))
    for found in claim.claims(folder):
        claim.revoke(folder, found)


@pytest.mark.parametrize(
    "point", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in POINTS]
)
def test_between_the_last_look_and_the_write(job, calm, tmp_path, monkeypatch, point):
    """The first driver stops at the very call that would declare something; the second finishes."""
    out, plain, left = tmp_path / "out", os.replace, []

    def stopped(source, target, *args):
        if point in str(target) and not left:
            left.append({})
            take_over(out)
            with runs_here():
                api.score(job(out, "decode.truncated=true", labels=False, overwrite=True))
            left[0] = state(out)
        plain(source, target, *args)

    monkeypatch.setattr(fence.os, "replace", stopped)
    with pytest.raises(LeaseLost), runs_here():
        api.evaluate(job(out))
    assert left
    assert state(out) == left[0]
    assert content(out) == content(calm)
    assert not problems(Folder(str(out)))
    assert not (out / "metrics").exists()


@pytest.mark.parametrize("what", ["_SUCCESS", "predictions", "metrics"])
def test_between_the_last_look_and_a_deletion(job, calm, tmp_path, monkeypatch, what):
    """The first driver is about to clear an output that it was to overwrite."""
    out, plain, left = tmp_path / "out", os.rename, []
    with runs_here():
        api.evaluate(job(out))

    def stopped(source, target, *args):
        if str(source) == str(out / what) and not left:
            left.append({})
            take_over(out)
            with runs_here():
                api.score(job(out, "decode.truncated=true", labels=False, overwrite=True))
            left[0] = state(out)
        plain(source, target, *args)

    monkeypatch.setattr(fence.os, "rename", stopped)
    with pytest.raises(LeaseLost), runs_here():
        api.evaluate(job(out, overwrite=True))
    assert state(out) == left[0]
    assert content(out) == content(calm)
    assert not problems(Folder(str(out)))


def start(command, job, out):
    config = job(out)
    words = [command, *config.input, "-o", out, "-m", config.model.name, "--set", "chunk_size=4"]
    words += ["--labels", config.labels[0]]
    return subprocess.Popen(
        [sys.executable, "-m", "vggbatch", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop_at(driver, out, pattern):
    """Stop a driver as soon as a file appears; whether it was still at work."""
    while driver.poll() is None:
        if any(out.glob(pattern)):
            driver.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            return not (out / "_SUCCESS").exists()
    return False


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "pattern",
    [
        NAME,
        "_vggbatch/*/staging/*/*.parquet",
        "_vggbatch/*/groups/*.json",
        "metrics/*/**/*.parquet",
        "run.json",
    ],
)
@pytest.mark.parametrize("second", ["refused", "the same again", "other settings", "killed"])
def test_a_stopped_process(job, calm, tmp_path, pattern, second):
    """SIGSTOP as a suspended machine does, for `evaluate`, and another driver meanwhile."""
    out = tmp_path / "out"
    for _ in range(10):
        shutil.rmtree(out, ignore_errors=True)
        first = start("evaluate", job, out)
        if stop_at(first, out, pattern):
            break
        first.send_signal(signal.SIGCONT)
        first.communicate()
    else:
        pytest.skip("the moment was missed ten times")
    try:
        again = start("evaluate", job, out)
        _, said = again.communicate(timeout=120)
        assert again.returncode == 2
        assert "is being written by a run on host" in said
        if second != "refused":
            take_over(out)
        if second == "killed":
            other = start("evaluate", job, out)
            at_work = stop_at(other, out, "_vggbatch/*/staging/*/*.parquet")
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=120)
            other.kill()
            other.communicate()
            assert first.returncode == 1
            # with all scored before, it staged nothing and came to its end
            assert not at_work or not (out / "_SUCCESS").exists()
            with runs_here():
                api.evaluate(job(out))
        elif second != "refused":
            settings = () if second == "the same again" else ("decode.truncated=true",)
            with runs_here():
                api.score(job(out, *settings, labels=not settings, overwrite=True))
            left = state(out)
    finally:
        first.send_signal(signal.SIGCONT)
        _, said = first.communicate(timeout=120)
    if second == "refused":
        assert first.returncode == 0
    else:
        assert first.returncode == 1
        assert [line for line in said.splitlines() if line.startswith("error: ")]
    if second in ("the same again", "other settings"):
        assert state(out) == left
    assert api.load_predictions(str(out)).num_rows == COUNT
    assert not problems(Folder(str(out)))
