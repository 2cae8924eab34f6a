"""Ray nodes as `ray start` makes them, several on this machine, beside whatever Ray runs there.

Each node has every port chosen for it and a session folder of its own, and is ended by its own
processes: `ray stop` would end every Ray of the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

from tests.support.ports import free_ports, free_range

_PORTS = (
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_HEAD_PORTS = ("port", "dashboard-port", "ray-client-server-port")
_WORKER_PORTS = 40
"""For the processes of a node's tasks and actors."""
_START_SECONDS = 120
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


@dataclass
class Node:
    """One `ray start --block`, the leader of a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int]
    started: list[psutil.Process] = field(default_factory=list)

    def kill(self) -> None:
        """SIGKILL to all of the node at once, as a machine that is switched off."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def drain(self) -> None:
        """SIGTERM, as Kubernetes gives it to a pod whose machine is taken away."""
        self.process.send_signal(signal.SIGTERM)

    def processes(self) -> list[psutil.Process]:
        """What runs below it now, and what was noted."""
        try:
            parent = psutil.Process(self.process.pid)
            found = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            found = []
        return list(dict.fromkeys([*found, *self.started]))

    def note_processes(self) -> None:
        """Remember what belongs to the node, for what outlives its parent."""
        self.started = self.processes()


class RayNodes:
    """A head and its workers.

    Args:
        folder: for logs; the session folders are beside it, where paths are short.
        environ: what the nodes see beside this process's environment.
        autoscaling: an autoscaler's configuration, whose provider needs the head's address.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        autoscaling: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        # a Unix socket's path has 107 bytes at most, and Ray adds 60 of its own
        self.sessions = Path(tempfile.mkdtemp(prefix="rn", dir="/tmp"))
        self.environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.getcwd(),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "10",
            **environ,
        }
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            self.environ.pop(name, None)
        self.nodes: list[Node] = []
        ports = _choose_ports(*_PORTS, *_HEAD_PORTS)
        words = ["--head", "--dashboard-host=127.0.0.1"]
        if autoscaling is not None:
            provider = {**autoscaling["provider"], "gcs_address": f"127.0.0.1:{ports['port']}"}
            config = folder / "autoscaling.yaml"
            config.write_text(json.dumps({**autoscaling, "provider": provider}))
            words.append(f"--autoscaling-config={config}")
        self.head = self._start(*words, cpus=0, ports=ports)

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.head.ports['dashboard-port']}"

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return f"127.0.0.1:{self.head.ports['port']}"

    def add(
        self,
        cpus: int = 1,
        *,
        wait: bool = True,
        inside: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Node:
        """Start a worker node.

        Args:
            cpus: that it says it has.
            wait: until it is there.
            inside: a command that runs the one after it.
            environ: what this node sees beside what all see.
        """
        return self._start(
            f"--address={self.address}",
            cpus=cpus,
            ports=_choose_ports(*_PORTS),
            wait=wait,
            inside=inside,
            environ=environ or {},
        )

    def raylets(self) -> int:
        """Nodes that run, those that an autoscaler has started included."""
        processes = [process for node in self.nodes for process in node.processes()]
        return sum(_runs(process, "raylet") for process in processes)

    def close(self) -> None:
        """End every node and remove the session folders."""
        for node in reversed(self.nodes):
            node.note_processes()
            node.kill()
        subprocess.run(["rm", "-rf", str(self.sessions)], check=True)

    def _start(
        self,
        *words: str,
        cpus: int,
        ports: dict[str, int],
        wait: bool = True,
        inside: Sequence[str] = (),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Node:
        number = len(self.nodes)
        low = free_range(_WORKER_PORTS + 1)
        log = self.folder / f"node{number}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *inside,
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *words),
                    *("--node-ip-address=127.0.0.1", f"--num-cpus={cpus}"),
                    f"--object-store-memory={100 * 2**20}",
                    *(f"--{name}={port}" for name, port in ports.items()),
                    *(f"--min-worker-port={low}", f"--max-worker-port={low + _WORKER_PORTS}"),
                    # each its own, as hosts have: Ray unpacks a job's working directory again for
                    # every node, which takes modules away from a driver that shares the folder
                    f"--temp-dir={self.sessions / str(number)}",
                    "--disable-usage-stats",
                ],
                stdout=file,
                stderr=file,
                env={**self.environ, **environ},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        node = Node(process, log, ports)
        self.nodes.append(node)
        if wait:
            self._wait(node)
        return node

    def _wait(self, node: Node) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._up(node):
            if node.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start:\n{node.log.read_text()[-3000:]}")
            time.sleep(0.2)
        node.note_processes()

    def _up(self, node: Node) -> bool:
        if "Ray runtime started" not in node.log.read_text(errors="replace"):
            return False
        port, path = node.ports["dashboard-agent-listen-port"], "/api/local_raylet_healthz"
        if node is self.nodes[0]:
            port, path = node.ports["dashboard-port"], "/api/version"
        try:
            urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
        except HTTPError as error:
            return error.code in (401, 403)  # it is up and wants a token
        except OSError:
            return False
        return True


@contextlib.contextmanager
def ray_nodes(folder: Path, *workers: int, **environ: str) -> Iterator[RayNodes]:
    """A cluster of a head without CPUs and a worker for each number of CPUs."""
    cluster = RayNodes(folder, environ)
    try:
        for cpus in workers:
            cluster.add(cpus)
        yield cluster
    finally:
        cluster.close()


def _runs(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name() == name and process.status() != psutil.STATUS_ZOMBIE
    return False


def _choose_ports(*names: str) -> dict[str, int]:
    return dict(zip(names, free_ports(len(names)), strict=True))


def _end_with_parent() -> None:
    """Let the kernel send SIGTERM when the test run dies, whatever kills it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
