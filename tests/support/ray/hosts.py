"""Hosts of a cluster: network namespaces with addresses of their own, joined by a bridge.

Each has its own temporary folder, shared memory and cache of models, too; of the file system they
share the rest, as machines with a network drive do. It takes root, Linux and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ray.cluster import ENVIRON

_SHORT_TIMEOUTS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
"""The head gives up a host that is silent for ten seconds; by default it takes a minute."""
_PORT = 6379


class Hosts:
    """The hosts, numbered from 1, the head."""

    def __init__(self, count: int) -> None:
        self._tag = f"vb{os.getpid()}"
        self._count = count
        # short, for the names of sockets are
        self._root = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._nodes: list[subprocess.Popen[bytes]] = []
        self.temporary = self._root / "own"
        """A folder whose content is each host's own."""
        self.temporary.mkdir()

    def wire(self) -> None:
        """Make the namespaces.

        Raises:
            OSError: this machine does not let us, with the reason.
        """
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("link", "set", self._tag, "up")
        for number in range(1, self._count + 1):
            name = self._name(number)
            _ip("netns", "add", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", name, "master", self._tag, "up")
            _ip("-n", name, "address", "add", f"{address(number)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            self.folder(number).mkdir()

    def folder(self, number: int) -> Path:
        """A host's `temporary`, as it is seen from outside."""
        return self._root / str(number)

    def start(self, number: int, *command: object, **options: Any) -> subprocess.Popen[Any]:
        """A process on a host."""
        own = f"mount --bind {self.folder(number)} {self.temporary}"
        inside = f'{own} && mount -t tmpfs tmpfs /dev/shm && exec "$@"'
        environ = {**os.environ, **ENVIRON, **_SHORT_TIMEOUTS, "PYTHONPATH": os.getcwd()}
        environ |= {
            "RAY_TMPDIR": str(self.temporary),
            "VGGBATCH_CACHE_DIR": str(self.temporary / "cache"),
        }
        environ.pop("RAY_ADDRESS", None)
        return subprocess.Popen(
            # the command makes a mount namespace as well
            ["ip", "netns", "exec", self._name(number), "sh", "-c", inside, "sh"]
            + [str(word) for word in command],
            env=environ,
            **options,
        )

    def join(self, number: int, *, cpus: int) -> None:
        """Start a host's node; the first one's is the head."""
        joins = f"--address={head()}" if number > 1 else f"--port={_PORT}"
        with (self.folder(number) / "node.log").open("wb") as log:
            node = self.start(
                number,
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", joins),
                *(f"--node-ip-address={address(number)}", f"--num-cpus={cpus}"),
                f"--object-store-memory={100 * 2**20}",
                *(("--head", "--include-dashboard=false") if number == 1 else ()),
                stdout=log,
                stderr=log,
            )
        self._nodes.append(node)
        if number == 1:
            # a driver that finds nothing there gives up at once
            listens = f"until ss -ltn | grep -q :{_PORT}; do sleep 0.2; done"
            assert self.start(1, "timeout", 60, "sh", "-c", listens).wait() == 0, "no head"

    def cut_off(self, number: int) -> None:
        """Pull a host's plug to the network; its processes know nothing of it."""
        _ip("link", "set", self._name(number), "down")

    def nowhere(self, number: int) -> str:
        """An address to which a host's packets go, and none comes back."""
        found = address(99)
        link = ("lladdr", "02:00:00:00:00:63", "dev", "eth0")
        _ip("-n", self._name(number), "neigh", "replace", found, *link)
        return found

    def close(self) -> None:
        """End what runs in the namespaces, and remove them."""
        for name in map(self._name, range(1, self._count + 1)):
            with contextlib.suppress(OSError):
                for pid in _ip("netns", "pids", name).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), 9)
            for what in ("link", "netns"):
                with contextlib.suppress(OSError):
                    _ip(what, "delete", name)
        with contextlib.suppress(OSError):
            _ip("link", "delete", self._tag)
        for node in self._nodes:
            node.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def _name(self, number: int) -> str:
        return f"{self._tag}-{number}"


def address(number: int) -> str:
    """A host's address, which means nothing outside the namespaces."""
    return f"10.213.77.{number}"


def head() -> str:
    """Where nodes and drivers join."""
    return f"{address(1)}:{_PORT}"


@contextlib.contextmanager
def network_hosts(count: int) -> Iterator[Hosts]:
    """Hosts on a network of their own; skips the test where there cannot be any."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces take root and the command ip of iproute2")
    hosts = Hosts(count)
    try:
        try:
            hosts.wire()
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield hosts
    finally:
        hosts.close()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
