"""A Hugging Face Hub of this machine: as much of its HTTP interface as reading files takes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 40


@dataclass
class Hub:
    """Its address, its files, and the tokens that came with requests."""

    endpoint: str
    files: dict[str, dict[str, bytes]]
    """By repository (`models/owner/name`, `datasets/owner/name`) and path."""
    tokens: set[str | None] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)


@contextmanager
def local_hub(files: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    """Serve files for the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            if not path.startswith("/api/agent"):  # of the client's own, and of no repository
                hub.tokens.add(self.headers.get("Authorization"))
            hub.requests.append(f"{self.command} {path}")
            if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(/.*)?", path):
                kind, name, rest = found.groups()
                self.of_repository(f"{kind}/{name}", name, rest or "")
            elif found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                kind, name, file = found.groups()
                self.content(hub.files.get(f"{kind or 'models/'}{name}", {}).get(file))
            else:
                self.missing("EntryNotFound")

        do_HEAD = do_POST = do_GET

        def of_repository(self, repository, name, rest):
            stored = hub.files.get(repository)
            if stored is None:
                self.missing("RepoNotFound")
            elif rest.startswith("/paths-info/"):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size).decode()
                wanted = self.paths(body)
                self.json([entry for path in wanted for entry in self.entries(stored, path)])
            elif found := re.fullmatch(r"/tree/[^/]+/?(.*)", rest):
                folder = found[1].rstrip("/")
                deep = "recursive=true" in self.path.lower()
                inside = {
                    path
                    for path in self.all_of(stored)
                    if path.rpartition("/")[0] == folder
                    or (deep and (not folder or path.startswith(f"{folder}/")))
                }
                self.json([e for path in sorted(inside) for e in self.entries(stored, path)])
            else:
                facts = {"_id": "1", "id": name, "sha": COMMIT, "siblings": [], "tags": []}
                self.json(facts | {"private": False, "downloads": 0, "likes": 0})

        def paths(self, body):
            if body.startswith("{"):
                found = json.loads(body)["paths"]
                return found if isinstance(found, list) else [found]
            return [unquote(part[6:]) for part in body.split("&") if part.startswith("paths=")]

        def all_of(self, stored):
            folders = {p[: m.start()] for p in stored for m in re.finditer("/", p)}
            return folders | stored.keys()

        def entries(self, stored, path):
            if path in stored:
                facts = {"type": "file", "path": path, "size": len(stored[path]), "oid": "1"}
                return [facts]
            return [{"type": "directory", "path": path, "oid": "2"}] * (path in self.all_of(stored))

        def content(self, data):
            if data is None:
                self.missing("EntryNotFound")
                return
            status, part, more = 200, data, {"ETag": '"1"', "X-Repo-Commit": COMMIT}
            if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
                status, part = 206, data[first : last + 1]
                more["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self.answer(status, part, more)

        def json(self, value):
            self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def missing(self, code):
            self.answer(404, b"{}", {"X-Error-Code": code})

        def answer(self, status, data, headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}", files)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
