"""A proxy in front of a real S3 server: now and then it refuses, cuts off, or answers with less."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@contextmanager
def faulty(
    endpoint: str, *, share: float = 0, short: float = 0, seed: int = 0
) -> Iterator[tuple[str, Counter[str]]]:
    """A proxy's endpoint, and a count of what it did: `passed`, `refused`, `cut`, `shortened`.

    Args:
        endpoint: the real server.
        share: of the requests that are refused or cut, half each.
        short: of the other requests for a range those that are answered with fewer bytes, and a
            Content-Length to match; below 1, no more than two of them in a row for an object.
        seed: of the choice.
    """
    target = urlsplit(endpoint).netloc
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    in_a_row: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            draw = chance.random()
            if draw < share / 2:
                counts["refused"] += 1
                self.send_response(503)
                self.send_header("Content-Length", str(len(_SLOW_DOWN)))
                self.end_headers()
                self.wfile.write(_SLOW_DOWN if self.command != "HEAD" else b"")
            elif draw < share:
                counts["cut"] += 1
                self.close_connection = True
            else:
                counts["passed"] += 1
                self._forward(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

        def _forward(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(target, timeout=60)
            # the Host that the client signed is passed on, or the signature would not hold
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP | {"expect"}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            ranged = self.command == "GET" and self.headers.get("Range") and answer.status == 206
            if ranged and len(data) > 1:
                shorten = chance.random() < short and (short >= 1 or in_a_row[self.path] < 2)
                in_a_row[self.path] = in_a_row[self.path] + 1 if shorten else 0
                if shorten:
                    counts["shortened"] += 1
                    data = data[: chance.randrange(len(data))]
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP | {"content-length", "date", "server"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(data)
            connection.close()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", counts
    finally:
        server.shutdown()
        server.server_close()
