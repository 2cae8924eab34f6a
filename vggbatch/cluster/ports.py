"""Whether somebody who speaks gRPC answers at an address, as every node of a Ray cluster does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

_SETTINGS = b"\x04"
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _SETTINGS + bytes(5)
"""What either side of gRPC says first (RFC 9113, 3.4): the client this, the server a frame of
settings, whose type is the fourth byte."""
_AT_ONCE = 64


def check_grpc_port(host: str, port: int, timeout: float) -> None:
    """Say hello and wait for an answer; with TLS only connect.

    Args:
        host: name or address.
        port: the port.
        timeout: seconds for it to take the connection, and again to answer.

    Raises:
        OSError: nobody answers, or somebody else does.
    """
    with socket.create_connection((host, port), timeout) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("1", "true"):
            connection.sendall(_HELLO)
            if connection.recv(9)[3:4] != _SETTINGS:
                raise OSError("what listens there is no Ray head")


def unresponsive_nodes(nodes: Sequence[Mapping[str, Any]], timeout: float) -> tuple[str, ...]:
    """The addresses of nodes that do not answer, of those that Ray takes for alive.

    Args:
        nodes: as Ray describes them.
        timeout: as `check_grpc_port` takes it.

    Returns:
        Nothing, too, where not one node answers: they cannot be reached from here.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda node: _answers(node, timeout), nodes))
    if not any(answers):
        return ()
    pairs = zip(nodes, answers, strict=True)
    return tuple(node["NodeManagerAddress"] for node, answered in pairs if not answered)


def _answers(node: Mapping[str, Any], timeout: float) -> bool:
    with suppress(OSError):
        check_grpc_port(node["NodeManagerAddress"], node["NodeManagerPort"], timeout)
        return True
    return False
