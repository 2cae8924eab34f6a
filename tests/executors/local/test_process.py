"""A worker process: how it ends, what it says then, and that it never outlives its driver."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vggbatch.executors.local.process import WorkerProcess

DRIVER = """
import time
from vggbatch.executors.local.process import WorkerProcess
worker = WorkerProcess()
print(worker.pid, flush=True)
worker.events.get()  # it lives
time.sleep(60)
"""


def end_of(worker):
    """Until the worker is gone: why."""
    deadline = time.monotonic() + 60
    while worker.events.get(timeout=deadline - time.monotonic())[1] is not None:
        pass
    return worker.how_it_ended()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_that_ends_it_is_named(number):
    with WorkerProcess() as worker:
        os.kill(worker.pid, number)
        assert end_of(worker) == f"was ended by {number.name}"


def test_what_is_ended_for_a_reason_has_that_reason():
    with WorkerProcess() as worker:
        worker.kill("did not answer")
        assert end_of(worker) == "did not answer"


def test_a_program_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr("vggbatch.executors.local.process._MODULE", "vggbatch.nothing_here")
    with WorkerProcess() as worker:
        assert "No module named vggbatch.nothing_here)" in end_of(worker)


def test_a_stopped_worker_holds_up_neither_messages_nor_the_end():
    with WorkerProcess() as worker:
        worker.events.get(timeout=60)
        os.kill(worker.pid, signal.SIGSTOP)
        started = time.monotonic()
        for _ in range(100):
            worker.send(bytes(100_000))  # more than a pipe takes
        assert time.monotonic() - started < 5
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("stopped", [False, True])
def test_it_ends_with_its_driver_also_where_that_is_killed(stopped):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True)
    pid = int(driver.stdout.readline())
    deadline = time.monotonic() + 60
    if stopped:
        while "local.worker" not in Path(f"/proc/{pid}/cmdline").read_text():
            time.sleep(0.05)
        while not prevented(pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(pid, signal.SIGSTOP)
    driver.kill()
    driver.wait()
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def prevented(pid):
    """Whether it ignores Ctrl-C, and so has done the first things it does."""
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    return bool(ignored >> (signal.SIGINT - 1) & 1)


def lives(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
