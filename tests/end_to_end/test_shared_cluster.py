"""Runs on real clusters of several nodes: they grow, shrink, are shared, and are left clean."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.support.images import write_folder
from tests.support.nets import slow_net
from tests.support.ray.autoscaler import autoscaling_nodes
from tests.support.ray.cluster import command, ray_nodes
from tests.support.ray.hosts import address, head, network_hosts
from tests.support.ray.ray_nodes import ray_nodes as started_nodes
from vggbatch import api
from vggbatch.config import load_config

IMAGES = 300


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    write_folder(folder, IMAGES)
    return folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A network that keeps its classifiers busy, so that more of them help."""
    return slow_net(tmp_path_factory.mktemp("slow") / "net.onnx", convolutions=12)


class Run:
    """A score command on a cluster, whose log lines are read as they come."""

    def __init__(self, address, images, net, output, *arguments, start=command):
        self.output = output
        self.lines = []
        self.process = start(
            *("score", images, "-o", output, "-m", net, "--address", address),
            *("--set", "chunk_size=1", "--set", "compute.log_format=json", *arguments),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(line for line in self.process.stderr)

    def wait_for(self, text):
        """Until a line has a text."""
        wait_until(lambda: any(text in line for line in self.lines), lambda: self.lines[-5:])

    def staged(self):
        """Images that are committed and not merged yet."""
        return len(list(self.output.glob("_vggbatch/*/staging/*/*")))

    def rows(self):
        """Image id -> top-5 of the finished run, each image once."""
        try:
            self.process.wait(timeout=170)
        except subprocess.TimeoutExpired:
            pytest.fail("does not end: " + "".join(self.lines[-10:]))
        self._reader.join()
        assert self.process.returncode == 0, "".join(self.lines[-10:])
        return rows_of(self.output)


def rows_of(output):
    table = api.load_predictions(str(output), ["image_id", "top5_index", "error"]).to_pylist()
    assert len(table) == len({row["image_id"] for row in table})
    assert not any(row["error"] for row in table)
    return {row["image_id"]: row["top5_index"] for row in table}


def wait_until(holds, otherwise=lambda: "", seconds=100):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def expected(images, net, ray_cluster, tmp_path_factory):
    """The rows of a run on this machine."""
    output = tmp_path_factory.mktemp("alone") / "out"
    values = {"input": (str(images),), "model": str(net), "output": str(output)}
    api.score(load_config(options=values, environ={}))
    return rows_of(output)


@pytest.mark.slow
def test_classifiers_come_and_go_with_the_nodes(images, slow, expected, tmp_path):
    """From a head without CPUs: the run waits for a node, grows with a second, loses the first."""
    with ray_nodes(head_cpus=0) as nodes:
        run = Run(nodes.address, images, slow, tmp_path / "out")
        run.wait_for("waiting for a node to join: the cluster has none with a logical CPU")
        first = nodes.add()
        run.wait_for("pass started")
        wait_until(lambda: run.staged() > 0)
        assert 0.9 < nodes.held() <= 1
        second = nodes.add()
        wait_until(lambda: seconds_of_classifiers(nodes, second) > 0)
        before = seconds_of_classifiers(nodes, second)
        wait_until(lambda: seconds_of_classifiers(nodes, second) > before + 3)
        assert 1.9 < nodes.held() <= 2.001
        assert nodes_of(nodes.temporary, "classifier started") == {first, second}
        run.wait_for("node joined")
        assert run.process.poll() is None, "too few images: the run ended before the node went"
        nodes.kill(first)
        struck = run.staged()
        run.wait_for("node left")
        assert run.rows() == expected
        # the rest is the work of the one that came
        assert 0 < struck < IMAGES


@pytest.mark.slow
def test_an_autoscaler_brings_nodes_from_none_and_takes_them_away(
    images, slow, expected, tmp_path, cache_folder
):
    """What the run asks for is all that the autoscaler knows: the second node, too."""
    with autoscaling_nodes(tmp_path, most=2, VGGBATCH_CACHE_DIR=str(cache_folder)) as nodes:
        assert nodes.raylets() == 1
        run = Run(nodes.address, images, slow, tmp_path / "out")
        run.wait_for("waiting for a node to join: the cluster has none with a logical CPU")
        run.wait_for("pass started")
        run.wait_for("node joined")
        wait_until(lambda: len(nodes_of(nodes.sessions, "classifier started")) == 2)
        assert run.rows() == expected
        wait_until(lambda: nodes.raylets() == 1)


@pytest.mark.slow
def test_a_host_comes_late_and_another_drops_off_the_network(images, slow, expected, tmp_path):
    """The model is on the head alone; the host that goes has all there is so far, and lives on."""
    with network_hosts(3) as hosts:
        for path in slow.parent.glob("net.*"):
            shutil.copy(path, hosts.folder(1))
        hosts.join(1, cpus=0)
        hosts.join(2, cpus=1)
        run = Run(
            head(),
            images,
            hosts.temporary / "net.onnx",
            tmp_path / "out",
            start=lambda *words: hosts.start(
                *(1, sys.executable, "-m", "vggbatch", *words), stderr=subprocess.PIPE, text=True
            ),
        )
        run.wait_for("pass started")
        wait_until(lambda: run.staged() > 0, lambda: run.lines[-5:])
        hosts.join(3, cpus=1)
        run.wait_for("node joined")
        wait_until(lambda: worker_lines(hosts.folder(3), "classifier started"))
        staged = run.staged()
        wait_until(lambda: run.staged() > staged + 10)
        assert run.process.poll() is None, "too few images: the run ended before the host went"
        hosts.cut_off(2)
        struck, cut = run.staged(), time.monotonic()
        run.wait_for("node left")
        wait_until(lambda: run.staged() > struck + 10, lambda: run.lines[-5:])
        assert time.monotonic() - cut < 90, "connections to a host that is gone were held"
        assert run.rows() == expected
        assert 0 < struck < IMAGES
        for event, number in (("joined", 3), ("left", 2)):
            line = next(line for line in run.lines if f'"node {event}"' in line)
            assert json.loads(line)["address"] == address(number)
        assert all(any(hosts.folder(number).glob("cache/prepared/*")) for number in (2, 3))


def seconds_of_classifiers(nodes, node):
    """Seconds of a core that the classifiers of a node have computed."""
    found = 0.0
    for process in psutil.Process(nodes.raylet(node)).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "Classify" in " ".join(process.cmdline()):
                found += process.cpu_times().user
    return found


@pytest.mark.slow
def test_a_node_that_hangs_is_named_until_ray_gives_it_up(images, slow, expected, tmp_path):
    with ray_nodes(head_cpus=0) as nodes:
        node = nodes.add()
        run = Run(nodes.address, images, slow, tmp_path / "out")
        wait_until(lambda: run.staged() > 0, lambda: run.lines[-5:])
        raylet = psutil.Process(nodes.raylet(node))
        stopped = [raylet, *raylet.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            run.wait_for("waiting for a node to answer, or to be given up by Ray: ")
        finally:
            for process in stopped:
                process.resume()
        assert run.rows() == expected


@pytest.mark.slow
def test_a_head_that_dies_is_told_and_the_same_command_goes_on(
    images, slow, expected, tmp_path, cache_folder
):
    with started_nodes(tmp_path, 1, VGGBATCH_CACHE_DIR=str(cache_folder)) as nodes:
        run = Run(nodes.address, images, slow, tmp_path / "out")
        wait_until(lambda: run.staged() > 0, lambda: run.lines[-5:])
        nodes.head.note_processes()
        nodes.head.kill()
        run.wait_for(" does not answer; if that lasts, Ray ends this run within a minute")
        assert run.process.wait(120) == 1
        assert not any("Traceback" in line for line in run.lines)
        assert 0 < run.staged() < IMAGES
    values = {"input": (str(images),), "model": str(slow), "output": str(run.output)}
    again = api.score(load_config(options=values, settings=["chunk_size=1"], environ={}))
    assert again.result.scored_now < IMAGES
    assert rows_of(run.output) == expected


@pytest.mark.slow
def test_two_runs_share_a_cluster_and_leave_it_clean(images, net, expected, tmp_path, cache_folder):
    with ray_nodes(head_cpus=0) as nodes:
        nodes.add(num_cpus=4)
        before = left_behind(nodes)
        nodes.held()
        share = ("--max-cpus", 1)
        outputs = [tmp_path / "one", tmp_path / "other"]
        runs = [Run(nodes.address, images, net, output, *share) for output in outputs]
        held = []
        while any(run.process.poll() is None for run in runs):
            held.append(nodes.held())
            time.sleep(0.2)
        assert all(run.rows() == expected for run in runs)
        # of four, each took one at most, and both were there at once
        assert max(held) <= 2
        assert max(held) > 1.9
        cores = classifiers_cores(nodes.temporary)
        records = [json.loads((run.output / "run.json").read_text()) for run in runs]
        one, other = (cores[record["this_run"]["run_id"]] for record in records)
        assert not one & other
        shards = worker_lines(nodes.temporary, "shard indexed")
        assert [(line["shard"], line["images"]) for line in shards] == [(0, IMAGES)] * 2
        assert all(line["node_id"] and line["host"] for line in shards)
        assert left_behind(nodes) - before <= {
            "/dev/shm/vggbatch-cores",
            f"/dev/shm/vggbatch-{os.getuid()}",
        }
        kept = {path.name for path in cache_folder.iterdir()}
        assert kept == {"prepared", "examined", f"own-{os.getuid()}.key"}


def worker_lines(temporary, message):
    """What workers logged, of one kind of line."""
    return [
        json.loads(line)
        for file in temporary.rglob("session_2*/logs/worker-*.err")
        for line in file.read_text().splitlines()
        if f'"{message}"' in line
    ]


def nodes_of(temporary, message):
    """Ids of the nodes whose workers logged such a line."""
    return {line["node_id"] for line in worker_lines(temporary, message)}


def classifiers_cores(temporary):
    """Run id -> the cores that its classifiers were pinned to, as they logged them."""
    cores = {}
    for line in worker_lines(temporary, "classifier started"):
        assert line["cores"], "not pinned"
        cores.setdefault(line["run_id"], set()).update(line["cores"])
    return cores


def left_behind(nodes):
    """Files that a run could have left: in temporary folders, shared memory and the home."""
    found = {str(path) for path in Path("/dev/shm").iterdir() if "plasma" not in path.name}
    found |= {str(p) for p in Path("/tmp").iterdir() if "vggbatch" in p.name or "onnx" in p.name}
    found |= {str(path) for path in nodes.temporary.iterdir()}
    home = subprocess.run(["ls", "-a", Path.home()], capture_output=True, text=True, check=True)
    return found | set(home.stdout.split())
