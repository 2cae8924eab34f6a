"""An S3 server in a thread whose keys may be anything, as Amazon's: with //, a leading slash, dots.

Servers that keep objects as files, SeaweedFS and MinIO among them, refuse such keys.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not key and query.get("list-type") == "2":
            self._answer(200, self._listing(query), {"Content-Type": "application/xml"})
        elif not key:
            self._answer(200, b"<ListAllMyBucketsResult/>", {})
        elif key not in self.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        else:
            data, status = self.objects[key], 200
            headers = {"ETag": '"1"', "Last-Modified": "Tue, 24 Nov 2026 15:00:00 GMT"}
            if asked := self.headers.get("Range"):
                first, last = asked.removeprefix("bytes=").split("-")
                end = min(int(last or len(data) - 1), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
                data, status = data[int(first) : end + 1], 206
            self._answer(status, data, headers)

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        files, folders = "", dict[str, None]()
        for key in sorted(self.objects):
            rest = key[len(prefix) :]
            if not key.startswith(prefix) or key <= query.get("start-after", ""):
                continue
            if delimiter and delimiter in rest:
                folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
            else:
                size = len(self.objects[key])
                files += (
                    f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>1</ETag>"
                    "<LastModified>2026-11-24T15:00:00.000Z</LastModified></Contents>"
                )
        for folder in folders:
            files += f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
        files = f"<IsTruncated>false</IsTruncated>{files}"
        return f"<ListBucketResult>{files}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def strange_s3(objects: dict[str, bytes]) -> Iterator[dict[str, str]]:
    """Serve objects of any bucket; gives the environment by which s3:// means this server."""
    handler = type("Handler", (_Handler,), {"objects": objects})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        server.shutdown()
