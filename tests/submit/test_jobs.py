"""A job server that lies, breaks and disappears; a real one: cli/commands/test_submit.py."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.submit.server import LARGEST, LOG
from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.submit import Submission


def test_a_checkout_is_sent_without_what_git_leaves_out(server, jobs, tmp_path, capfd):
    folder = tmp_path / "checkout"
    for name in ("sub/job.yaml", ".git/index", ".venv/large.so", "out/part-000000.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(LARGEST + 1) if name.endswith("so") else b"")
    (folder / ".gitignore").write_text("/out/\n")
    submission = Submission(("score",), str(folder))
    first = jobs.submit(submission)
    assert server.received[0]["runtime_env"]["working_dir"].startswith("gcs://")
    for ignored in (".git/index", ".venv/large.so", "out/part-000001.parquet"):
        (folder / ignored).write_text("changed")
    assert jobs.submit(submission) == type(first)(first.id, joined=True)
    (folder / "sub/job.yaml").write_text("model: b")
    assert not jobs.submit(submission).joined
    assert len(server.packages) == 2
    assert capfd.readouterr().err == "", "nothing of Ray's own"


def test_a_working_directory_that_is_too_large(jobs, tmp_path):
    (tmp_path / "weights.onnx").write_bytes(os.urandom(LARGEST))
    with pytest.raises(UsageError, match=r"more than 1 MB, packed.* \.gitignore"):
        jobs.submit(Submission(("score",), str(tmp_path)))


def test_a_job_is_sent_once(server, jobs):
    submission = Submission(("score", "a b"), environment={"X": "1"}, num_cpus=1, memory=2**30)
    first = jobs.submit(submission)
    assert not first.joined
    [sent] = server.received
    assert sent["entrypoint"] == "python -P -m vggbatch score 'a b'"
    assert sent["runtime_env"]["env_vars"]["X"] == "1"
    assert (sent["entrypoint_num_cpus"], sent["entrypoint_memory"]) == (1, 2**30)
    assert jobs.submit(submission) == type(first)(first.id, joined=True)
    assert not jobs.submit(Submission(("score", "a c"))).joined
    server.jobs[first.id]["status"] = "FAILED"
    assert not jobs.submit(submission).joined
    assert len(server.received) == 3


def test_lost_connections_lose_and_repeat_no_line(server, jobs):
    server.jobs["one"] = {"status": "SUCCEEDED", "driver_exit_code": 0}
    server.cuts = 3
    assert "".join(jobs.follow("one")) == LOG
    assert server.connections == 4


def test_a_server_that_is_gone_is_given_up(server, jobs):
    server.jobs["one"] = {"status": "RUNNING"}
    server.cuts = 100
    text = jobs.follow("one", timeout=1)
    assert next(text).startswith("line 0")
    server.stop()
    with pytest.raises(VggbatchError, match="has not answered for 1 s"):
        list(text)
    server.__init__()  # for the fixture to stop


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_ctrl_c_is_no_failure(server, seconds):
    server.endless = True
    words = ["submit", "--address", server.url, "--wait", "--", "models", "list"]
    client = subprocess.Popen(
        [sys.executable, "-m", "vggbatch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in client.stdout:
        if line.startswith("dashboard"):
            break
    time.sleep(seconds)
    client.send_signal(signal.SIGINT)
    printed, errors = client.communicate(timeout=30)
    assert client.returncode == 130
    assert errors.splitlines() == ["job raysubmit_1 continues"]
    assert f"ray job stop --address {server.url} raysubmit_1" in printed


def test_the_exit_status_is_kept(server, jobs):
    ended = {
        "a": ({"status": "SUCCEEDED", "driver_exit_code": 0}, 0),
        "b": ({"status": "FAILED", "driver_exit_code": 1}, 1),
        "c": ({"status": "FAILED", "driver_exit_code": 2}, 2),
        "d": ({"status": "FAILED", "driver_exit_code": -9}, 137),
    }
    for name, (details, expected) in ended.items():
        server.jobs[name] = details
        assert jobs.wait(name) == expected
    server.jobs["e"] = {"status": "STOPPED"}
    with pytest.raises(JobFailed, match="was stopped"):
        jobs.wait("e")
    trace = "Traceback (most recent call last):\n  File\nOSError: the node is gone\n"
    server.jobs["f"] = {"status": "FAILED", "message": trace}
    with pytest.raises(JobFailed, match="job f failed: OSError: the node is gone"):
        jobs.wait("f")
