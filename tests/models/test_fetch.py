"""Against a real HTTP server here that cuts, corrupts, redirects, stalls and throttles."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models import fetch
from vggbatch.models.catalog import ZooFile, catalog
from vggbatch.models.fetch import pull

DATA = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves DATA at /<behavior>/net.onnx and counts the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        behavior = self.path.split("/")[1]
        asked = self.headers.get("Range")
        self.server.requests.append((behavior, asked))
        count = sum(b == behavior for b, _ in self.server.requests)
        offset = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
        body = DATA
        if behavior == "redirect":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/good/net.onnx")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if behavior in ("404", "503") or (behavior == "busy" and count < 3):
            self.send_response(404 if behavior == "404" else 503)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if behavior == "corrupt":
            body = bytes([DATA[0] ^ 1]) + DATA[1:]
        if behavior == "short":
            body = DATA[:-5]
        if behavior == "norange":
            offset, asked = 0, None
        body = body[offset:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behavior in ("cut", "norange") and count < 6:
            body = body[: 600_000 if behavior == "cut" or count == 1 else None]
            self.close_connection = True
        if behavior in ("trickle", "crumbs"):
            self.close_connection = True
            for byte in range(50 if behavior == "trickle" else 1):
                self.wfile.write(body[byte : byte + 1])
                time.sleep(0.05 if behavior == "trickle" else 0)
            return None
        if behavior == "never":
            self.close_connection = True
            return None
        if behavior == "stall" and count == 1:
            self.wfile.write(body[:100_000])
            time.sleep(3)
            return None
        step = 100_000 if behavior == "throttle" else len(body) or 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if behavior == "throttle":
                time.sleep(0.01)
        return None


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def entry():
    file = ZooFile("net.onnx", hashlib.sha256(DATA).hexdigest(), len(DATA))
    return dataclasses.replace(catalog()["vgg16-12"], weights=file)


@pytest.fixture(autouse=True)
def only_own_mirrors(monkeypatch):
    monkeypatch.setattr(fetch, "PUBLIC_MIRRORS", ())
    monkeypatch.setattr(fetch, "BACKOFF_SECONDS", 0.01)


@pytest.mark.parametrize("behavior", ["trickle", "crumbs"])
def test_a_mirror_that_gives_next_to_nothing_is_left(
    server, entry, tmp_path, monkeypatch, behavior
):
    monkeypatch.setattr(fetch, "FIRST_SECONDS", 0.5)
    mirrors = [f"{server.url}/{behavior}", f"{server.url}/good"]
    started = time.monotonic()
    assert pull(entry, mirrors=mirrors, cache_dir=str(tmp_path)).read_bytes() == DATA
    assert time.monotonic() - started < 20
    with pytest.raises(VggbatchError, match=r"gives only \d+ bytes in \d s"):
        pull(entry, mirrors=mirrors[:1], cache_dir=str(tmp_path / "other"))


@pytest.mark.parametrize(
    "behavior", ["good", "cut", "norange", "redirect", "throttle", "busy", "stall"]
)
def test_good_bytes_arrive(server, entry, tmp_path, monkeypatch, behavior):
    monkeypatch.setattr(fetch, "READ_SECONDS", 0.5)
    seen = []
    path = pull(
        entry,
        mirrors=[f"{server.url}/{behavior}"],
        cache_dir=str(tmp_path),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    if behavior not in ("norange",):
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not list(path.parent.glob("*.partial"))
    ranges = [asked for _, asked in server.requests if asked]
    assert bool(ranges) == (behavior in ("cut", "norange", "stall"))


def test_cuts_never_fetch_a_byte_twice(server, entry, tmp_path):
    pull(entry, mirrors=[f"{server.url}/cut"], cache_dir=str(tmp_path))
    offsets = [int(asked[6:-1]) for _, asked in server.requests if asked]
    assert offsets == [600_000, 1_200_000, 1_800_000, 2_400_000]


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("corrupt", "SHA-256 is not the zoo's"),
        ("short", f"is {len(DATA) - 5} bytes, not {len(DATA)}"),
        ("404", "status 404"),
        ("503", "status 503"),
        ("never", "connection broke"),
    ],
)
def test_bad_mirror_is_named_and_the_next_is_tried(server, entry, tmp_path, behavior, reason):
    bad = f"{server.url}/{behavior}"
    with pytest.raises(VggbatchError, match=re.escape(reason)) as error:
        pull(entry, mirrors=[bad], cache_dir=str(tmp_path / "a"))
    assert f"{bad}/net.onnx" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "a").rglob("net.onnx"))
    path = pull(entry, mirrors=[bad, f"{server.url}/good"], cache_dir=str(tmp_path / "b"))
    assert path.read_bytes() == DATA


def test_no_server_is_told_at_once(entry, tmp_path):
    begun = time.monotonic()
    with pytest.raises(VggbatchError, match="no connection"):
        pull(entry, mirrors=["http://127.0.0.1:9"], cache_dir=str(tmp_path))
    assert time.monotonic() - begun < 2


PULL = """
import sys
from vggbatch.errors import VggbatchError
from vggbatch.models import fetch
from vggbatch.models.catalog import catalog
from vggbatch.models.fetch import pull
hub, *_ = fetch.PUBLIC_MIRRORS
fetch.PUBLIC_MIRRORS = (hub,)
try:
    pull(catalog()["vgg16-12"], cache_dir=sys.argv[1], attempts=1)
except VggbatchError as error:
    print(error)
"""


def test_a_hub_that_is_not_there_is_a_mirror_that_failed(tmp_path):
    """Its client raises errors of its own kind, which are no OSError."""
    pytest.importorskip("huggingface_hub")
    done = subprocess.run(
        [sys.executable, "-c", PULL, tmp_path],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no mirror gives vgg16-12.onnx: ")


def test_what_a_killed_download_left_is_continued(server, entry, tmp_path):
    target = fetch.weights_path(str(tmp_path), entry.weights.sha256, "net.onnx")
    target.parent.mkdir(parents=True)
    target.with_name("net.onnx.partial").write_bytes(DATA[:2_000_000])
    pull(entry, mirrors=[f"{server.url}/good"], cache_dir=str(tmp_path))
    assert server.requests == [("good", "bytes=2000000-")]


def test_wrong_bytes_of_an_earlier_download_are_thrown_away(server, entry, tmp_path):
    target = fetch.weights_path(str(tmp_path), entry.weights.sha256, "net.onnx")
    target.parent.mkdir(parents=True)
    target.with_name("net.onnx.partial").write_bytes(b"x" * 1000)
    path = pull(entry, mirrors=[f"{server.url}/good"], cache_dir=str(tmp_path))
    assert path.read_bytes() == DATA
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("form", ["folder", "file uri", "pattern"])
def test_own_folder_as_mirror(entry, tmp_path, form):
    (tmp_path / "zoo" / "vgg16-12").mkdir(parents=True)
    (tmp_path / "zoo" / "vgg16-12" / "net.onnx").write_bytes(DATA)
    folder = f"{tmp_path}/zoo/vgg16-12"
    mirror = {
        "folder": folder,
        "file uri": f"file://{folder}",
        "pattern": f"{tmp_path}/zoo/{{name}}/{{file}}",
    }[form]
    path = pull(entry, mirrors=["/nowhere", mirror], cache_dir=str(tmp_path / "cache"))
    assert path.read_bytes() == DATA


def test_many_at_once_download_once(server, entry, tmp_path):
    code = (
        "import dataclasses, sys\n"
        "from vggbatch.models.catalog import catalog\n"
        "from vggbatch.models.fetch import pull\n"
        "from vggbatch.models.catalog import ZooFile\n"
        "file = ZooFile('net.onnx', sys.argv[2], int(sys.argv[3]))\n"
        "entry = dataclasses.replace(catalog()['vgg16-12'], weights=file)\n"
        "pull(entry, mirrors=[sys.argv[1]], cache_dir=sys.argv[4])\n"
    )
    arguments = [
        f"{server.url}/throttle",
        entry.weights.sha256,
        str(len(DATA)),
        str(tmp_path),
    ]
    processes = [subprocess.Popen([sys.executable, "-c", code, *arguments]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(server.requests) == 1


def test_full_disk_is_told_before_anything_is_fetched(server, entry, tmp_path):
    huge = dataclasses.replace(entry.weights, bytes=10**15)
    with pytest.raises(UsageError, match="needs 1000000000 MB"):
        pull(dataclasses.replace(entry, weights=huge), cache_dir=str(tmp_path))
    assert server.requests == []


def test_addresses_of_mirrors():
    address = fetch.address
    assert address("s3://bucket/zoo/", "n", "f.onnx") == "s3://bucket/zoo/f.onnx"
    assert address("https://h/{name}/get/{file}?x", "n", "f.onnx") == "https://h/n/get/f.onnx?x"
