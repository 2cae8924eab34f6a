"""The commands as a user types them, in processes of their own, mistakes included."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.images import write_folder
from vggbatch import cli
from vggbatch.cli import console


def vggbatch(*words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "vggbatch", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environ},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, 3)
    return path


def in_this_process(words, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vggbatch", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    console.configure()
    return subprocess.CompletedProcess(words, stopped.value.code or 0, *capfd.readouterr())


def one_line(done, status):
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize("command", ["", "score"])
def test_help_is_quick_and_says_what_there_is(command):
    done = vggbatch(*filter(None, [command]), "--help")
    assert done.returncode == 0
    assert "--help" in done.stdout


def test_help_loads_nothing_heavy():
    heavy = {"ray", "onnx", "onnxruntime", "numpy", "pyarrow", "pydantic"}
    code = f"import sys, vggbatch.cli; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_mistakes_are_one_line(net, folder, tmp_path, capfd, monkeypatch):
    out = tmp_path / "out"
    cases = {
        ("score", folder, "-m", net): "no output",
        ("score", tmp_path / "none", "-m", net, "-o", out): "none",
        ("score", folder, "-m", "vgg61-12", "-o", out): "vgg16-12",
        ("score", folder, "-m", "vgg16-12", "-o", out): "vggbatch models pull vgg16-12",
        ("evaluate", folder, "-m", net, "-o", out): "--labels",
        ("score", folder, "-m", net, "-o", out, "--set", "chunk_sice=1"): "'chunk_size'",
        ("score", folder, "-m", net, "-o", out, "--config", tmp_path / "n.yaml"): "n.yaml",
        ("score", folder, "-m", net, "-o", out, "--set", "compute.num_cpus=0"): "num_cpus",
    }
    for words, expected in cases.items():
        assert expected in one_line(in_this_process(words, capfd, monkeypatch), 2), words
    assert expected in one_line(vggbatch(*words), 2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_a_run_with_one_line(net, tmp_path, number, status, word):
    write_folder(tmp_path / "images", 300)
    options = ["-m", net, "-o", tmp_path / "out", "--set", "chunk_size=1"]
    command = [sys.executable, "-m", "vggbatch", "score", tmp_path / "images", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(list(map(str, command)), stdout=pipe, stderr=pipe, text=True) as run:
        end = time.monotonic() + 100
        while not list(tmp_path.glob("out/_vggbatch/*/staging/*/*.parquet")):
            assert time.monotonic() < end
            assert run.poll() is None
            time.sleep(0.1)
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (status, "")
    first, *progress, last = err.splitlines()
    assert first.startswith("300 images")
    assert all("of 300 images" in line for line in progress)
    assert last == f"error: {word}: what is committed stays, the same command continues from there"


def test_predict_shows_the_classes(net, folder):
    done = vggbatch("predict", folder / "00001.jpg", "-m", net)
    assert done.returncode == 0, done.stderr
    assert "00001.jpg" in done.stdout
    assert done.stdout.count(" n0") + done.stdout.count(" n1") == 5


def test_predict_of_a_damaged_image_says_so(net, tmp_path, capfd, monkeypatch):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    done = in_this_process(["predict", tmp_path / "bad.jpg", "-m", net], capfd, monkeypatch)
    assert "1 of 1 images could not be scored" in one_line(done, 1)
    assert "not_image" in done.stdout


def test_plan_runs_nothing(net, folder, tmp_path, capfd, monkeypatch):
    words = ["plan", folder, "-m", net, "-o", tmp_path / "out"]
    done = in_this_process(words, capfd, monkeypatch)
    assert done.returncode == 0, done.stderr
    assert "3 images" in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_score_from_a_file_and_again(net, folder, tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text(f"input: {folder}\nmodel: {net}\noutput: {tmp_path}/out\n")
    done = vggbatch("score", "-c", config, VGGBATCH_CHUNK_SIZE="2")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"]["images"] == 3
    assert record["config"]["chunk_size"] == 2
    stray = [line for line in done.stderr.splitlines() if "ray" in line.lower()]
    assert not stray
    again = vggbatch("score", "-c", config, VGGBATCH_CHUNK_SIZE="2")
    assert "nothing was left to do" in again.stdout
    other = vggbatch("score", "-c", config, "--set", "decode.truncated=true")
    assert "decode.truncated: False -> True" in one_line(other, 2)
