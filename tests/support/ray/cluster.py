"""A real Ray cluster of several nodes on this machine, in a process of its own.

Nodes can be added from a process's main thread alone, which a test often needs for the run; so the
process that has the cluster takes orders as lines of JSON. It leaves other Ray alone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ENVIRON = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""What every process that joins needs in its environment."""
_ORDER_TIMEOUT_S = 120


class Nodes:
    """The cluster, by its head's address; nodes are known by their id in Ray."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path, errors: IO[str]) -> None:
        self._process = process
        self._errors = errors
        self.temporary = temporary
        """Where Ray keeps its files."""
        self.address: str = self._answer()["address"]

    def add(self, num_cpus: int = 1, env: dict[str, str] | None = None) -> str:
        """Start a node; its id."""
        return self._order("add", num_cpus=num_cpus, env_vars=env or {})["id"]

    def kill(self, node: str) -> None:
        """End a node's processes with SIGKILL."""
        self._order("kill", id=node)

    def held(self) -> float:
        """Logical CPUs that somebody holds."""
        return self._order("held")["cpus"]

    def raylet(self, node: str) -> int:
        """The process id of a node's raylet."""
        return self._order("raylet", id=node)["pid"]

    def _order(self, what: str, **values: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": what, **values}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._errors.seek(0)
        raise RuntimeError(f"the cluster's process ended: {self._errors.read()[-2000:]}")


@contextmanager
def ray_nodes(head_cpus: int = 0, **environ: str) -> Iterator[Nodes]:
    """A head of so many CPUs, which stands until the end of the block."""
    # its own, so that no other Ray on this machine takes the head for one to join; a short path,
    # for the names of sockets are
    temporary = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray.cluster", str(head_cpus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ
            | ENVIRON
            | {"PYTHONPATH": os.getcwd(), "RAY_TMPDIR": temporary}
            | environ,
        )
        try:
            yield Nodes(process, Path(temporary), errors)
        finally:
            process.communicate("", timeout=60)
            shutil.rmtree(temporary, ignore_errors=True)


def command(*arguments: object, **environ: str) -> subprocess.Popen[str]:
    """A vggbatch command that may join such a cluster, in progress."""
    return subprocess.Popen(
        [sys.executable, "-m", "vggbatch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRON, "PYTHONPATH": str(Path.cwd()), **environ},
    )


def _kill(cluster: Any, node: Any) -> None:
    """End a node's processes; `remove_node` waits for some of them without a limit."""
    for kind, process in node.live_processes():
        if kind != "reaper":
            process.kill()
    for kind, process in node.live_processes():
        if kind != "reaper":
            process.wait(timeout=30)
    cluster.worker_nodes.discard(node)


def _serve(head_cpus: int) -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": head_cpus, "include_dashboard": False},
    )
    nodes = {}
    print(json.dumps({"address": cluster.address}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        # an order that hangs ends this process with its stack, which the test then shows
        faulthandler.dump_traceback_later(_ORDER_TIMEOUT_S, exit=True)
        answer: dict[str, Any] = {}
        if order["order"] == "add":
            node = cluster.add_node(num_cpus=order["num_cpus"], env_vars=order["env_vars"])
            nodes[node.node_id] = node
            answer["id"] = node.node_id
        elif order["order"] == "kill":
            _kill(cluster, nodes.pop(order["id"]))
        elif order["order"] == "held":
            if not ray.is_initialized():
                ray.init(address=cluster.address, log_to_driver=False)
            free = ray.available_resources().get("CPU", 0.0)
            answer["cpus"] = ray.cluster_resources().get("CPU", 0.0) - free
        else:
            raylet = nodes[order["id"]].all_processes["raylet"][0].process
            answer["pid"] = raylet.pid
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(answer), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
