"""What a driver that is killed leaves on its machine."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.images import write_folder


def title(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_processes_of_its_ray_end_by_themselves(net, tmp_path):
    write_folder(tmp_path / "images", 400)
    words = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
    words += ["--set", "chunk_size=4", "--executor", "ray"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "vggbatch", *map(str, words)],
        env={**os.environ, "VGGBATCH_CACHE_DIR": str(tmp_path / "cache")},
    )
    started = []
    while not any("ray::MapWorker" in title(process) for process in started):
        assert driver.poll() is None
        started = psutil.Process(driver.pid).children(recursive=True)
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    _, left = psutil.wait_procs(started, timeout=60)
    assert [title(process) for process in left] == []
