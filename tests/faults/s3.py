"""The same on a real S3 server, behind a proxy whose k-th changing request fails or kills."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import s3fs

from tests.faults.harness import Bench
from tests.support.stores import s3

_FAULT = (
    b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal '
    b"error. Please try again.</Message></Error>"
)
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "expect"}
_FAILS = 40
"""Answers with 500 until the same request passes: more than a client repeats it."""


class _Server(ThreadingHTTPServer):
    """A server whose clients are killed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless it is a client that is gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Proxy:
    """Forwards to a server, and acts on the k-th PUT, POST or DELETE below a prefix."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint).netloc
        self._lock = threading.Lock()
        self.watch("", "", 0)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # a body does not wait, for 40 ms, until its header has been acknowledged
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                act = proxy.action_for(self.command, self.path)
                if act == "stop":
                    # the request is in flight while the run is paused, and arrives last
                    proxy.stopped.set()
                    proxy.resumed.wait(120)
                    act = ""
                if act == "kill":
                    proxy.killed.set()
                    self.close_connection = True
                elif act == "500":
                    self._answer(500, [], _FAULT)
                else:
                    answer = proxy.forward(self.command, self.path, self.headers, body)
                    if act == "kill-after":
                        proxy.killed.set()
                        self.close_connection = True
                    elif act == "500-after":
                        self._answer(500, [], _FAULT)
                    else:
                        self._answer(*answer)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

            def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
                self.send_response(status)
                length = str(len(data))
                for name, value in headers:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    elif name.lower() not in _HOP_BY_HOP | {"content-length", "date", "server"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def watch(self, below: str, action: str, at: int) -> None:
        """Start counting again, for the objects below a path."""
        with self._lock:
            self._below, self._action, self._at = below, action, at
            self.operations: list[str] = []
            self._failing: dict[str, int] = {}
            self.killed = threading.Event()
            self.stopped, self.resumed = threading.Event(), threading.Event()

    def close(self) -> None:
        """End the proxy."""
        self._server.shutdown()
        self._server.server_close()

    def action_for(self, method: str, path: str) -> str:
        """What to do with a request."""
        plain = path.split("?")[0]
        with self._lock:
            if method not in ("PUT", "POST", "DELETE") or not self._below:
                return ""
            if self.stopped.is_set():
                return ""  # the other driver's, or after all was seen
            if self.killed.is_set():
                return "kill"
            key = f"{method} {plain}"
            if self._failing.get(key, 0) > 0:
                self._failing[key] -= 1
                return "500"
            # a deletion of several objects is a POST to the bucket
            if not plain.startswith(self._below) and "delete" not in path:
                return ""
            self.operations.append(key)
            if len(self.operations) != self._at:
                return ""
            if self._action == "500":
                self._failing[key] = _FAILS
            return self._action

    def forward(
        self, method: str, path: str, headers: http.client.HTTPMessage, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's own answer."""
        connection = http.client.HTTPConnection(self._target, timeout=60)
        # the Host that the client signed is passed on, or the signature would not hold
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data


class S3Bench(Bench):
    """Outputs in a bucket, reached through the proxy."""

    def __init__(self, folder: Path, store: str, proxy: Proxy) -> None:
        super().__init__(folder, store)
        self.proxy = proxy
        self.arrives_late = True
        # the bench's own look at the bucket does not go through the proxy
        self.fs = s3fs.S3FileSystem()
        self.environ["AWS_ENDPOINT_URL"] = proxy.endpoint
        # a request is repeated by s3fs and by the package, but not, for half a minute, by botocore
        self.environ["AWS_MAX_ATTEMPTS"] = "1"

    def _disturb(
        self, command: str, action: str, at: int
    ) -> tuple[int | None, str, list[str], str]:
        self._count += 1
        output = f"{self.store}/{command}-{self._count:05d}"
        self.start_from(command, output)
        words = self.words(command, output)
        if command == "overwrite":
            words = [*words, "--overwrite"]
        below = f"/{output.removeprefix('s3://')}"
        self.proxy.watch(below, action.removesuffix("-overwrite"), at)
        second = self._second_driver(command, action, output)
        status, text = self.run(
            words, killed=self.proxy.killed, stop=self.proxy.stopped, paused=self._then(second)
        )
        operations = list(self.proxy.operations)
        self.proxy.watch("", "", 0)
        return status, text, operations, output

    def _then(self, second: Callable[[], None] | None) -> Callable[[], None] | None:
        """Run the second driver, and let the request go that was held back."""
        if second is None:
            return None

        def run() -> None:
            try:
                second()
            finally:
                self.proxy.resumed.set()

        return run

    def _copy(self, source: str, target: str) -> None:
        self.fs.invalidate_cache()
        for path in self.fs.find(source):
            self.fs.copy(path, target.removeprefix("s3://") + path[len(source) - 5 :])

    def _remove(self, output: str) -> None:
        self.fs.invalidate_cache()
        if self.fs.exists(output):
            self.fs.rm(output, recursive=True)

    def _walk(self, output: str) -> Iterator[tuple[str, bytes]]:
        self.fs.invalidate_cache()
        root = output.removeprefix("s3://")
        for path in sorted(self.fs.find(root)):
            # a request that was in flight may have deleted it
            with suppress(FileNotFoundError):
                yield path.removeprefix(root + "/"), self.fs.cat_file(path)


@contextmanager
def s3_bench(folder: Path) -> Iterator[S3Bench]:
    """A bench on a server of its own."""
    with s3.bucket(folder / "s3") as store:
        proxy = Proxy(os.environ["AWS_ENDPOINT_URL"])
        (folder / "bench").mkdir()
        bench = S3Bench(folder / "bench", f"{store}/faults", proxy)
        try:
            yield bench
        finally:
            bench.close()
            proxy.close()
            shutil.rmtree(folder / "bench", ignore_errors=True)
