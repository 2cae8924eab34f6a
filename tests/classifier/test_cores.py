import os
import signal
import subprocess
import sys

import pytest

from vggbatch.classifier import cores
from vggbatch.classifier.topology import Topology

HOLD = """
import sys, time, os
from pathlib import Path
from vggbatch.classifier.cores import claim_cores
claim = claim_cores(1, Path(sys.argv[1]))
print(claim.cores if claim else None, sorted(os.sched_getaffinity(0)), flush=True)
time.sleep(60)
"""


def start(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


@pytest.mark.skipif(not cores.may_pin(), reason="a CPU quota shares this machine's cores")
def test_processes_get_different_cores_and_a_killed_one_gives_its_own_back(tmp_path):
    count = len(cores.cpu_mask())
    held = [start(tmp_path) for _ in range(count)]
    late, nothing = start(tmp_path)
    try:
        assert len({line for _, line in held}) == count
        assert all(line.startswith("(") for _, line in held)
        assert nothing == f"None {list(cores.cpu_mask())}"
        held[0][0].kill()
        held[0][0].wait()
        again, line = start(tmp_path)
        again.kill()
        again.wait()
        assert line == held[0][1]
    finally:
        for process, _ in [*held, (late, "")]:
            process.kill()
            process.wait()


def test_a_claim_pins_and_releases(tmp_path):
    before = os.sched_getaffinity(0)
    try:
        claim = cores.claim_cores(1, tmp_path)
        if claim is None:
            pytest.skip("cores may not be pinned here")
        assert os.sched_getaffinity(0) == set(claim.cores)
        claim.release()
    finally:
        os.sched_setaffinity(0, before)
    second = cores.claim_cores(1, tmp_path)
    os.sched_setaffinity(0, before)
    assert second is not None
    assert second.cores == claim.cores
    second.release()


def test_too_many_cores_are_not_claimed(tmp_path):
    before = os.sched_getaffinity(0)
    assert cores.claim_cores(10_000, tmp_path) is None
    assert os.sched_getaffinity(0) == before


def test_second_threads_are_claimed_last_and_groups_kept_together(tmp_path, monkeypatch):
    """Two groups of two cores with hyperthreads, on a machine that has none of this."""
    topology = Topology((((0, 4), (1, 5)), ((2, 6), (3, 7))))
    monkeypatch.setattr(cores, "read_topology", lambda mask: topology)
    monkeypatch.setattr(cores, "may_pin", lambda: True)
    pinned = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: pinned.append(list(cpus)))
    held = [cores.claim_cores(count, tmp_path) for count in (1, 2, 1, 2, 2)]
    assert pinned == [[0], [2, 3], [1], [4, 5], [6, 7]]
    assert cores.claim_cores(1, tmp_path) is None
    for claim in held:
        claim.release()


def test_an_actor_may_stretch_over_two_groups(tmp_path, monkeypatch):
    topology = Topology((((0,), (1,), (2,)), ((3,), (4,), (5,))))
    monkeypatch.setattr(cores, "read_topology", lambda mask: topology)
    monkeypatch.setattr(cores, "may_pin", lambda: True)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: None)
    held = [cores.claim_cores(2, tmp_path) for _ in range(3)]
    assert [claim.cores for claim in held] == [(0, 1), (3, 4), (2, 5)]
    for claim in held:
        claim.release()


def test_a_quota_that_shares_the_cores_forbids_pinning(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "cpu_mask", lambda: tuple(range(64)))
    monkeypatch.setattr(cores, "cpu_quota", lambda: 8.0)
    assert cores.claim_cores(1, tmp_path) is None
    assert cores.usable_cpus() == 8
    assert cores.pinning() == "not pinned: a quota of 8 CPUs shares 64"
    # Kubernetes' static CPU manager gives a set of cores of the quota's size
    monkeypatch.setattr(cores, "cpu_mask", lambda: tuple(range(8)))
    assert cores.pinning().startswith("pinned to 8 core")


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("250000 100000", 2.5), ("50000 100000", 0.5)]
)
def test_quota_of_cgroup_v2(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert cores.cpu_quota(tmp_path) == expected


def test_quota_of_cgroup_v1(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores.cpu_quota(tmp_path) == 1.5
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert cores.cpu_quota(tmp_path) is None


def test_a_child_does_not_keep_its_parents_core(tmp_path):
    script = HOLD.replace(
        "time.sleep(60)",
        "from subprocess import DEVNULL, Popen\n"
        "print(Popen(['sleep', '20'], stdout=DEVNULL, stderr=DEVNULL).pid, flush=True)",
    )
    lines = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    try:
        process, line = start(tmp_path)
        process.kill()
        process.wait()
        assert line == lines[0]
    finally:
        os.kill(int(lines[1]), signal.SIGKILL)
