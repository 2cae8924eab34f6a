"""Jobs on a real cluster that wants a token: a head without CPUs, one worker of two."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.images import write_folder
from tests.support.ray.ray_nodes import ray_nodes
from vggbatch import __version__, api, cli
from vggbatch.cli import console
from vggbatch.errors import UsageError
from vggbatch.runs.progress.status import read_status
from vggbatch.storage.filesystem import Folder

TOKEN = "a-token-that-must-not-be-seen-anywhere"
KEYS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
COUNT = 500


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, cache_folder):
    folder = tmp_path_factory.mktemp("cluster")
    with ray_nodes(folder, 2, VGGBATCH_CACHE_DIR=str(cache_folder), **KEYS) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images with 'quotes' & $pace")
    write_folder(folder, COUNT)
    return folder


def command(*words, **environ):
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environ}
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        if name not in environ:
            env.pop(name, None)
    return {"args": [sys.executable, "-m", "vggbatch", "submit", *map(str, words)], "env": env}


def submit(*words, **environ):
    kwargs = command(*words, **environ)
    return subprocess.run(**kwargs, capture_output=True, text=True, timeout=240, check=False)


def job_of(text):
    return re.search(r"^job +(\S+)$", text, re.MULTILINE)[1]


def one_line(done, status):
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    "environ", [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another"}], ids=["none", "wrong"]
)
def test_to_join_it_without_its_token_is_one_line_within_seconds(cluster, net, tmp_path, environ):
    write_folder(tmp_path / "images", 1)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    words = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", *words, "--address", cluster.address],
        env=plain | {"HOME": str(tmp_path)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert time.monotonic() - began < 15, "Ray itself gives up after 20 s"
    assert done.returncode == 2, done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "wants a token, and there is none here or another one: set RAY_AUTH_MODE=token" in error


@pytest.mark.slow
def test_a_checkout_and_its_configuration_are_uploaded_and_run(cluster, images, net, tmp_path):
    checkout = tmp_path / "checkout"
    shutil.copytree("vggbatch", checkout / "vggbatch")
    versions = checkout / "vggbatch/versions.py"
    versions.write_text(
        versions.read_text().replace(f'"{__version__}"', f'"{__version__}+uploaded"')
    )
    (checkout / "my job.yaml").write_text(f"model: {net}\nmax_error_rate: 0.5\n")
    out = tmp_path / "out; touch oops"
    done = submit(
        *("--address", cluster.dashboard, "--wait", "--working-dir", checkout),
        *("--env", "VGGBATCH_CHUNK_SIZE", "--env", "VGGBATCH_DECODE__TRUNCATED=true", "--"),
        *("score", images, "-o", out, "-c", "my job.yaml"),
        VGGBATCH_CHUNK_SIZE="50",
        **KEYS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"dashboard  {cluster.dashboard}/#/jobs/{job_of(done.stdout)}" in done.stdout
    assert re.search(rf"^images +{COUNT}$", done.stdout, re.MULTILINE)
    record = api.load_run(str(out))
    assert record["versions"]["vggbatch"] == f"{__version__}+uploaded"
    assert record["config"]["chunk_size"] == 50
    assert record["config"]["decode"]["truncated"] is True
    # the cluster's one worker, not a Ray of its own beside it
    assert (record["placement"]["nodes"], record["placement"]["cpus"]) == (1, 2)
    assert TOKEN not in json.dumps(record)


def submit_here(capfd, monkeypatch, *words):
    """Run the command in this process; its exit status and what it printed."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["vggbatch", "submit", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    console.configure()
    return subprocess.CompletedProcess(words, stopped.value.code or 0, *capfd.readouterr())


def test_mistakes_show_before_anything_is_sent(tmp_path, capfd, monkeypatch):
    nobody = ("--address", "http://127.0.0.1:9")
    (tmp_path / "wrong.yaml").write_text("modle: vgg16-12\n")
    folder = ("--working-dir", tmp_path)
    cases = {
        ("submit", "score"): "cannot submit itself",
        ("score", "x", "--set", "chunk_sice=1"): "'chunk_size'",
        ("--env", "VGGBATCH_CHUNK_SIZE=none", "score", "x"): "chunk_size",
        ("--env", "IS_NOT_SET_HERE", "score", "x"): "IS_NOT_SET_HERE=VALUE",
        ("--entrypoint-resource", "head", "score", "x"): "NAME=AMOUNT",
        ("score", "-c", "job.yaml"): "--working-dir",
        (*folder, "score", "-c", "job.yaml"): "job.yaml",
        (*folder, "score", "-c", "wrong.yaml"): "did you mean 'model",
        ("--working-dir", tmp_path / "none", "score", "x"): "is no folder",
    }
    for words, expected in cases.items():
        assert expected in one_line(submit_here(capfd, monkeypatch, *nobody, *words), 2), words
    # as the commands themselves say it
    cases = {
        ("scoer", "x"): "scoer",
        ("score", "x", "--modle", "y"): "--modle",
        ("models", "pul", "x"): "pul",
        ("models", "pull"): "MODEL",
    }
    for words, expected in cases.items():
        done = submit_here(capfd, monkeypatch, *nobody, "--", *words)
        assert done.returncode == 2, done.stderr
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    done = submit(*nobody, "--env", "AWS_SECRET_ACCESS_KEY=x", "--", "models", "list")
    assert "http://HOST:8265" in one_line(done, 1)
    assert "warning: --env AWS_SECRET_ACCESS_KEY: Ray writes its value" in done.stderr


@pytest.mark.slow
def test_the_exit_status_is_the_commands_own(cluster, images, net, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "no.jpg").write_bytes(b"nothing")
    words = ("-m", net, "-o", tmp_path / "out")
    environ = {**KEYS, "RAY_ADDRESS": cluster.address}
    kwargs = command("--wait", "score", tmp_path / "nowhere", *words, **environ)
    other = subprocess.Popen(**kwargs, stdout=subprocess.PIPE, text=True)
    # by the dashboard's variable, which counts more than the other
    environ = {**KEYS, "RAY_ADDRESS": "127.0.0.1:9", "RAY_API_SERVER_ADDRESS": cluster.dashboard}
    done = submit("--wait", "score", damaged, *words, "--max-error-rate", "0.1", **environ)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error:" in done.stdout
    printed, _ = other.communicate(timeout=120)
    assert other.returncode == 2, printed
    assert "nowhere" in printed


@pytest.mark.slow
def test_a_job_is_joined_left_stopped_and_resumed(cluster, images, net, tmp_path):
    out = tmp_path / "out"
    words = ("score", images, "-m", net, "-o", out, "--set", "chunk_size=1")
    where = ("--address", cluster.dashboard)
    first = submit(*where, "--", *words, **KEYS)
    assert first.returncode == 0, first.stderr
    job = job_of(first.stdout)
    assert f"ray job logs --follow --address {cluster.dashboard} {job}" in first.stdout
    # Ctrl-C leaves it alone
    status, text = interrupted(*where, "--wait", "--", *words, once=lambda: True)
    assert status == 130
    assert "nothing was started" in text
    assert f"job {job} continues" in text
    # by default
    status, text = interrupted(
        *where, "--wait", "--stop-on-interrupt", "--", *words, once=lambda: rows_in(out) > 0
    )
    assert status == 130, text
    assert "the same command continues from there" in text
    found = read_status(Folder(str(out)))
    assert found.state == "interrupted"
    assert 0 < found.rows < COUNT
    assert found.holder is None, "the job gave its output free"
    again = submit(*where, "--wait", "--", *words, **KEYS)
    assert again.returncode == 0, again.stdout + again.stderr
    assert job_of(again.stdout) != job
    ids = api.load_predictions(str(out), ["image_id"])["image_id"].to_pylist()
    assert sorted(ids) == [f"{number:05d}.jpg" for number in range(COUNT)]


def rows_in(output):
    try:
        return read_status(Folder(str(output))).rows
    except UsageError:
        return 0


def interrupted(*words, once):
    """Press Ctrl-C when submit follows a job and `once` holds; its exit status and output."""
    client = subprocess.Popen(
        **command(*words, **KEYS), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed = ""
    for line in client.stdout:
        printed += line
        if line.startswith("dashboard"):
            break
    while not once():
        assert client.poll() is None
        time.sleep(0.05)
    client.send_signal(signal.SIGINT)
    rest, _ = client.communicate(timeout=60)
    return client.returncode, printed + rest


@pytest.mark.slow
def test_the_entry_points_run_by_ray_job_submit(cluster, images, net, tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    out, labels = tmp_path / "out", tmp_path / "labels.csv"
    labels.write_text("".join(f"{number:05d}.jpg,{number}\n" for number in range(COUNT)))
    words = ["jobs/evaluate.py", images, "-m", net, "-o", out, "--labels", labels]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit"),
            *("--address", cluster.dashboard, "--working-dir", "."),
            *("--", "python", *map(str, words)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.load_run(str(out))["counts"]["images"] == COUNT
    assert (out / "metrics/summary").exists()


@pytest.mark.slow
def test_who_may_not_is_told_so(cluster, monkeypatch):
    where = ("--address", cluster.dashboard, "--", "models", "list")
    assert "RAY_AUTH_MODE=token" in one_line(submit(*where, RAY_AUTH_MODE="disabled"), 2)
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another-token"}
    assert "does not accept the token" in one_line(submit(*where, **wrong), 2)


@pytest.mark.slow
def test_the_token_is_in_no_log(cluster):
    logs = list(Path(cluster.sessions).rglob("*.log")) + list(cluster.folder.glob("*.log"))
    assert len(logs) > 10
    assert not [log for log in logs if TOKEN in log.read_text(errors="replace")]


def test_relative_paths_are_warned_of(tmp_path, capsys):
    """In this process: nothing is sent."""
    import typer

    from vggbatch.cli import app
    from vggbatch.cli.commands.submit import _check
    from vggbatch.submit import Submission

    def said(*words, **options):
        _check(typer.main.get_command(app), Submission(words=words, **options))
        text = " ".join(capsys.readouterr().err.split())
        return re.findall(r"(?:the output )?(\S+) is relative", text)

    words = ("evaluate", "images", "/data/x", "s3://b/y", "-l", "ReaL=real.json", "-l", "embedded")
    assert said(*words, "-o", "out", "-m", "net.onnx") == ["out", "images", "real.json", "net.onnx"]
    assert said(*words, "-o", "out", working_dir=str(tmp_path)) == ["out"]
    assert said("score", "/data/x", "-o", "s3://b/out", "-m", "vgg16-12") == []
