"""Ports for servers that start later, which nobody else is given in the meantime."""

from __future__ import annotations

import itertools
import os
import socket

_LOW, _HIGH = 10_100, 32_000
"""Below the ports that Linux deals by itself (net.ipv4.ip_local_port_range), so that neither a
server on port 0 nor an outgoing connection takes one between its choice and its use."""


def _slice() -> tuple[int, int]:
    """This process's own part, so that test processes beside each other never choose the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    width = (_HIGH - _LOW) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _LOW + worker * width, width


def _ports() -> itertools.cycle[int]:
    low, width = _slice()
    # other test runs of the machine begin somewhere else
    first = low + os.getpid() * 997 % width
    return itertools.cycle([*range(first, low + width), *range(low, first)])


_next = _ports()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, each given once before all others of the process were."""
    return list(itertools.islice(filter(_free, _next), count))


def free_range(count: int) -> int:
    """The first of `count` neighboring ports nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = next(_next)
        if not _free(port):
            found = []
        elif found and port != found[-1] + 1:
            found = [port]
        else:
            found.append(port)
    return found[0]


def _free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("", port))
        except OSError:
            return False
        return True


def dead_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
