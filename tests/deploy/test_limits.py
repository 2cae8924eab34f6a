"""A worker's limits as the kernel sets them: as many classifiers as CPUs, pinned where allowed.

The manifests ask for whole CPUs with requests equal to limits. Kubernetes makes a CPU quota of that
and, with the static CPU manager, a set of cores of the same size. Both are made here for real.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.images import write_folder

ROOT = Path("/sys/fs/cgroup")
V1 = (ROOT / "cpu/cpu.cfs_quota_us").exists()

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or os.cpu_count() < 2, reason="needs two cores and root"
)


@pytest.fixture
def group():
    """A control group with a quota, seen from inside as the whole hierarchy, as in a container."""
    base = ROOT / "cpu" if V1 else ROOT
    folder = base / f"vggbatch-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        quota = folder / ("cpu.cfs_quota_us" if V1 else "cpu.max")
        quota.write_text(quota.read_text())
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"this machine lets nobody set limits: {error}")
    yield base, folder
    deadline = time.monotonic() + 30  # Ray's processes outlive the command by a moment
    while (folder / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    folder.rmdir()


def limited(group, quota, cores, *words):
    base, folder = group
    if V1:
        (folder / "cpu.cfs_period_us").write_text("100000")
        (folder / "cpu.cfs_quota_us").write_text(str(quota * 100_000))
    else:
        (folder / "cpu.max").write_text(f"{quota * 100_000} 100000")
    inside = f'echo $$ > {folder}/cgroup.procs && mount --bind {folder} {base} && exec "$@"'
    return subprocess.run(
        [
            *("unshare", "--mount", "bash", "-c", inside, "limited"),
            *("taskset", "--cpu-list", cores, sys.executable, *map(str, words)),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize(
    ("quota", "cores", "pinned"), [(1, "0", True), (1, "0-1", False), (2, "0-1", True)]
)
def test_the_quota_counts_and_a_set_of_cores_of_its_size_allows_pinning(
    group, quota, cores, pinned
):
    code = (
        "from vggbatch.classifier.cores import may_pin\n"
        "from vggbatch.pipeline.cluster import usable_cpus\n"
        "print(usable_cpus(), may_pin())"
    )
    done = limited(group, quota, cores, "-c", code)
    assert done.stdout.split() == [str(quota), str(pinned)], done.stderr


@pytest.mark.slow
def test_a_run_fits_into_one_cpu_of_two(group, net, tmp_path):
    write_folder(tmp_path / "images", 64)
    words = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
    done = limited(group, 1, "0-1", "-m", "vggbatch", *words)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"]["images"] == 64
    assert record["placement"]["cpus"] == record["placement"]["actors"] == 1
