"""A join beside other work: its errors wait their turn, and a cluster is left again."""

import os
import subprocess
import sys
import threading
import time

import pytest

from tests.support.images import write_folder
from tests.support.ports import dead_port
from tests.support.ray.cluster import ENVIRON, command, ray_nodes
from vggbatch.config import ComputeOptions
from vggbatch.errors import VggbatchError
from vggbatch.executors.ray_data import joining
from vggbatch.executors.ray_data.joining import Joining


def test_what_is_wrong_with_the_cluster_is_told_when_it_is_asked_for():
    with Joining(ComputeOptions(address=f"127.0.0.1:{dead_port()}")) as joined:
        joined._thread.join()
        with pytest.raises(VggbatchError, match=r"cannot join the Ray cluster at .*refused"):
            joined.cluster()


def test_a_cluster_that_does_not_answer_is_not_waited_for(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(joining, "reach", lambda address: answered.wait(60))
    monkeypatch.setattr(joining, "ray_cluster", lambda *words, **options: pytest.fail("joined"))
    started = time.monotonic()
    with pytest.raises(KeyError), Joining(ComputeOptions(address="head:6379")) as joined:
        raise KeyError
    assert time.monotonic() - started < 30
    answered.set()
    joined._thread.join()
    assert joined._error is None


def test_a_wrong_input_is_told_first(net, tmp_path):
    address = f"127.0.0.1:{dead_port()}"
    score = command(
        *("score", tmp_path / "none", "-m", net, "-o", tmp_path / "out", "--address", address)
    )
    _, said = score.communicate(timeout=60)
    assert (score.returncode, len(said.splitlines())) == (2, 1)
    assert said.startswith("error: ")
    assert "none" in said


LEAVE = """
import sys
import ray
from vggbatch.config import ComputeOptions
from vggbatch.executors.ray_data.joining import Joining
try:
    with Joining(ComputeOptions(address=sys.argv[1])) as joining:
        cluster = joining.cluster()
        print(cluster.node_cpus, cluster.here, cluster.own, ray.is_initialized())
        raise KeyError
except KeyError:
    print(ray.is_initialized())
for wait in (0, 1):
    with Joining(ComputeOptions(address=sys.argv[1])) as joining:
        if wait:
            joining.cluster()
    print(ray.is_initialized())
"""


@pytest.mark.slow
def test_a_cluster_is_joined_and_left(net, tmp_path):
    """On an error too, and however early the end comes; nothing is said."""
    write_folder(tmp_path / "images", 4)
    with ray_nodes(2) as nodes:
        done = subprocess.run(
            [sys.executable, "-c", LEAVE, nodes.address],
            capture_output=True,
            text=True,
            env=os.environ | ENVIRON,
            timeout=120,
            check=True,
        )
        score = command(
            *("score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"),
            *("--address", nodes.address, "--quiet"),
        )
        out, said = score.communicate(timeout=120)
    assert done.stdout.splitlines() == ["[2.0] 2.0 False True", "False", "False", "False"]
    assert done.stderr == ""
    assert (score.returncode, out, said) == (0, "", "")
