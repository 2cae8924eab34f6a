"""A proxy that lets a store on this machine answer as late as one that is far away.

    python -m benchmarks.latency http://127.0.0.1:8333 --milliseconds 30

Prints the proxy's own address, which clients take in place of the store's, and serves until it is
ended. Each request waits once; the bytes of the answer are passed on as fast as they come, by the
kernel, so that the proxy takes little of the machine that is measured.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from benchmarks.command_line import run

_PIPE = 2**20
_LONGEST_REQUEST = 2**16


class _Connection:
    """A client's connection and the one to the store.

    Args:
        client: the accepted connection.
        store: host and port of the store.
        seconds: that each request waits.
    """

    def __init__(self, client: socket.socket, store: tuple[str, int], seconds: float) -> None:
        self._client = client
        self._store = socket.create_connection(store)
        self._seconds = seconds
        self._answered = True
        for one in (self._client, self._store):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        """Pass requests on, the first bytes of each after the wait."""
        with suppress(OSError):
            while data := self._client.recv(_LONGEST_REQUEST):
                if self._answered:
                    self._answered = False
                    time.sleep(self._seconds)
                self._store.sendall(data)
        with suppress(OSError):
            self._store.shutdown(socket.SHUT_WR)

    def answer(self) -> None:
        """Pass answers on; close both connections at the end."""
        with ExitStack() as stack, suppress(OSError):
            stack.enter_context(self._client)
            stack.enter_context(self._store)
            begin, end = os.pipe()
            stack.callback(os.close, begin)
            stack.callback(os.close, end)
            while count := os.splice(self._store.fileno(), end, _PIPE):
                self._answered = True
                while count:
                    count -= os.splice(begin, self._client.fileno(), count)


def serve(listener: socket.socket, store: tuple[str, int], seconds: float) -> None:
    """Pass connections on until the listener is closed."""
    while True:
        client, _ = listener.accept()
        connection = _Connection(client, store, seconds)
        for target in (connection.ask, connection.answer):
            threading.Thread(target=target, daemon=True).start()


def main() -> None:
    """Serve, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", help="its address, as in http://127.0.0.1:8333")
    parser.add_argument("--milliseconds", type=float, default=30.0)
    options = parser.parse_args()
    address = urlsplit(options.store)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        store = (address.hostname or "127.0.0.1", address.port or 80)
        serve(listener, store, options.milliseconds / 1000)


if __name__ == "__main__":
    run(main)
