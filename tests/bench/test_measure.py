import sys

import psutil
import pytest

from vggbatch.bench.measure import last_line, run, steady_rate

HUNGRY = "import time; data = bytearray(200 * 2**20); time.sleep(1)"


def test_steady_rate_leaves_out_the_ends():
    # 10 images/s with a start and an end that take long
    marks = [(100.0 + 0.4 * i, 4) for i in range(50)]
    slow = [(90.0, 4), *marks, (200.0, 4)]
    assert steady_rate(slow) == pytest.approx(10.0, rel=1e-6)


def test_steady_rate_of_workers_that_commit_together():
    # two workers, 32 images in 4 s each, at the same moments
    marks = [(4.0 * i + offset, 32) for i in range(1, 30) for offset in (0, 0.01)]
    assert steady_rate(marks) == pytest.approx(16.0, rel=0.01)


@pytest.mark.parametrize("marks", [[], [(1.0, 10)], [(1.0, 5), (1.0, 5), (1.0, 5)]])
def test_no_steady_rate_of_too_little(marks):
    assert steady_rate(marks) is None


def test_run_sees_the_memory_of_grandchildren(tmp_path):
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HUNGRY!r}])"
    usage = run([sys.executable, "-c", child], tmp_path / "log")
    assert usage.status == 0
    assert usage.seconds > 1
    assert 200 * 2**20 < usage.peak_bytes < 300 * 2**20


def test_run_tells_why_a_command_failed(tmp_path):
    usage = run([sys.executable, "-c", "raise ValueError('no such thing')"], tmp_path / "log")
    assert usage.status == 1
    assert last_line(tmp_path / "log", 1) == "ValueError: no such thing"
    assert last_line(tmp_path / "log", 1)


def test_an_interrupted_run_ends_what_it_started(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    marker = f"marker-{tmp_path.name}"
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", HUNGRY, marker], tmp_path / "log", watch=interrupt)
    assert not [process for process in psutil.process_iter() if marker in command_of(process)]


def command_of(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
