"""What it takes to list many objects in one folder of a store, and to sort them into chunks.

    python -m benchmarks.store_listing --objects 1000000

Prints one line of JSON. The store is a process of its own that makes pages of 1,000 names and gives
each 30 ms late, as S3 does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.command_line import at_least_one, run

_LATE_S = 0.03
_FOLDER = "images/"


def _name(number: int) -> str:
    return f"{_FOLDER}{number:07d}.jpg"


def _serve(objects: int, port: Connection[Any, Any]) -> None:
    """Give pages until the process is ended."""

    class Store(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(404, b"")

        def do_GET(self) -> None:
            asked = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
            if "list-type" not in asked:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            first = int(asked.get("continuation-token", "0"))
            if after := asked.get("start-after"):
                first = _first_after(after, objects)
            end = min(objects, first + int(asked.get("max-keys", "1000")))
            files = "".join(
                f"<Contents><Key>{_name(number)}</Key>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{number:032x}&quot;</ETag><Size>130000</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
                for number in range(first, end)
            )
            more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < objects else ""
            self._answer(200, f"<ListBucketResult>{files}{more}</ListBucketResult>".encode())

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, status: int, body: bytes) -> None:
            time.sleep(_LATE_S)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    port.send(server.server_port)
    server.serve_forever()


def _first_after(name: str, objects: int) -> int:
    low, high = 0, objects
    while low < high:
        middle = (low + high) // 2
        if _name(middle) <= name:
            low = middle + 1
        else:
            high = middle
    return low


def main() -> None:
    """Print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=at_least_one, default=1_000_000)
    objects = parser.parse_args().objects
    ours, theirs = get_context("spawn").Pipe()
    store = get_context("spawn").Process(target=_serve, args=(objects, theirs), daemon=True)
    store.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ours.recv()}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    began, used = time.perf_counter(), time.process_time()
    from vggbatch.sources.discover import survey

    shards = survey([f"s3://store/{_FOLDER}"]).shards
    found = {
        "objects": sum(len(shard.members) for shard in shards if shard.members is not None),
        "seconds": time.perf_counter() - began,
        "core_seconds": time.process_time() - used,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    store.terminate()
    print(json.dumps(found))


if __name__ == "__main__":
    run(main)
