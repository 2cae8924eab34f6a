"""A worker's limits as the kernel sets them: as many classifiers as CPUs, pinned where allowed.

The manifests ask for whole CPUs with requests equal to limits. Kubernetes makes a CPU quota and a
memory limit of that and, with the static CPU manager, a set of cores of the same size. All are
made here for real; a quota of more CPUs than this machine has stays one, and leaves all of them.
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
import yaml

from tests.support.images import write_folder
from vggbatch.config import load_config
from vggbatch.models.catalog import catalog

ROOT = Path("/sys/fs/cgroup")
V1 = (ROOT / "cpu/cpu.cfs_quota_us").exists()

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or os.cpu_count() < 2, reason="needs two cores and root"
)


@pytest.fixture
def groups():
    """Control groups, seen from inside as the whole hierarchy, as in a container: base -> group."""
    name = f"vggbatch-{uuid.uuid4().hex[:8]}"
    bases = [ROOT / "cpu", ROOT / "memory"] if V1 else [ROOT]
    made = {base: base / name for base in bases}
    try:
        for folder in made.values():
            folder.mkdir()
        for limit in (cpu_limit(made, 1), memory_limit(made, 2**30)):
            for file in limit:
                file.write_text(file.read_text())
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        for folder in made.values():
            with contextlib.suppress(OSError):
                folder.rmdir()
        pytest.skip(f"this machine lets nobody set limits: {error}")
    yield made
    deadline = time.monotonic() + 30  # Ray's processes outlive the command by a moment
    for folder in made.values():
        while (folder / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        folder.rmdir()


def cpu_limit(groups, cpus):
    """File -> content, for a quota of so many CPUs."""
    folder = next(iter(groups.values()))
    if V1:
        return {
            folder / "cpu.cfs_period_us": "100000",
            folder / "cpu.cfs_quota_us": f"{cpus * 100_000}",
        }
    return {folder / "cpu.max": f"{cpus * 100_000} 100000"}


def memory_limit(groups, size):
    folder = list(groups.values())[-1]
    return {folder / ("memory.limit_in_bytes" if V1 else "memory.max"): str(size)}


def limited(groups, quota, cores, *words, memory=None):
    limits = cpu_limit(groups, quota)
    if memory is not None:
        limits |= memory_limit(groups, memory)
    for file, content in limits.items():
        file.write_text(content)
    steps = [f"echo $$ > {folder}/cgroup.procs" for folder in groups.values()]
    steps += [f"mount --bind {folder} {base}" for base, folder in groups.items()]
    return subprocess.run(
        [
            *("unshare", "--mount", "bash", "-c", " && ".join([*steps, 'exec "$@"']), "limited"),
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
    groups, quota, cores, pinned
):
    names = "may_pin, usable_cpus"
    code = f"from vggbatch.classifier.cores import {names}\nprint(usable_cpus(), may_pin())"
    done = limited(groups, quota, cores, "-c", code)
    assert done.stdout.split() == [str(quota), str(pinned)], done.stderr


def workers():
    """Of each overlay: CPUs and bytes of a worker, and the job's model."""
    base = yaml.safe_load(Path("deploy/kuberay/base/rayjob.yaml").read_text())
    [group] = base["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    size = int(limits["memory"].removesuffix("Gi")) * 2**30
    for path in sorted(Path("deploy/kuberay/overlays").glob("*/job.yaml")):
        config = {"input": "images", "output": "out", **yaml.safe_load(path.read_text())}
        model = load_config(options=config, environ={}).model.name
        yield pytest.param(int(limits["cpu"]), size, model, id=path.parent.name)


LOOK = """
import json
from vggbatch.classifier.cores import may_pin, usable_cpus
from vggbatch.config import ComputeOptions
from vggbatch.cluster.placement import place
from vggbatch.memory import free_memory
placement = place([float(usable_cpus())], ComputeOptions())
print(json.dumps([usable_cpus(), may_pin(), free_memory(), placement.actors * placement.threads]))
"""


@pytest.mark.parametrize(("cpus", "memory", "model"), list(workers()))
def test_a_worker_of_the_manifests_has_room_for_its_classifiers(groups, cpus, memory, model):
    """In its own limits; a quota of 8 CPUs cannot make more of this machine's cores than it has."""
    from vggbatch.cluster.node_requirements import _CLASSIFIER_BYTES, _PREPARATIONS

    cores = len(os.sched_getaffinity(0))
    here = min(cpus, cores)
    done = limited(groups, cpus, f"0-{cores - 1}", "-c", LOOK, memory=memory)
    assert done.returncode == 0, done.stderr
    usable, pinned, free, threads = json.loads(done.stdout)
    assert (usable, pinned, threads) == (here, True, here)
    assert 0 < free <= memory
    # what the checks before a run ask of a node whose cache is empty
    needed = catalog()[model].weights.bytes * _PREPARATIONS + cpus * _CLASSIFIER_BYTES
    object_store = 0.3 * memory  # ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION
    assert needed + object_store < memory


@pytest.mark.slow
def test_a_run_fits_into_one_cpu_of_two(groups, net, tmp_path):
    write_folder(tmp_path / "images", 64)
    words = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
    done = limited(groups, 1, "0-1", "-m", "vggbatch", *words, memory=3 * 2**30)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"]["images"] == 64
    assert record["placement"]["cpus"] == record["placement"]["actors"] == 1
