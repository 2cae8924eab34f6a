"""Reading that ends: no pipe is opened, answers of web servers are cut or refused."""

import os
import re
import socket
import threading
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import fsspec
import pytest
from fsspec.asyn import sync

from vggbatch import bounded
from vggbatch.bounded import (
    NotRegularError,
    RefusedError,
    TooManyBytesError,
    open_regular,
    read_bounded,
    read_web,
)
from vggbatch.errors import ImageError
from vggbatch.storage.filesystem import filesystem
from vggbatch.storage.ranges import Range, read_ranges


class Server(BaseHTTPRequestHandler):
    """Answers by the path: /gzip is a bomb, /endless has no end, /slow sends a byte at a time."""

    sent = 0
    asked: ClassVar = []

    def log_message(self, *args):
        pass

    def do_GET(self):
        Server.asked.append(self.headers)
        if self.path.startswith("/to?"):
            self.send_response(302)
            to = self.path.partition("?")[2]
            self.send_header("Location", self.path if to == "itself" else to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/gzip":
            packer = zlib.compressobj(9, zlib.DEFLATED, 31)
            data = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        elif self.path == "/asked":
            self.end_headers()
            self.wfile.write(self.headers["Accept-Encoding"].encode())
        else:
            self.end_headers()
            piece = bytes(2**16) if self.path == "/endless" else b"x"
            try:
                while not self.server.closing.wait(0 if len(piece) > 1 else 0.02):
                    self.wfile.write(piece)
                    Server.sent += len(piece)
            except OSError:
                pass


@contextmanager
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        http.closing = threading.Event()
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.closing.set()
            http.shutdown()


def test_compressed_answers_are_not_asked_for_and_not_taken():
    fs = fsspec.filesystem("http")
    with server() as url:
        assert read_web(fs, f"{url}/asked", 0, 99) == b"identity"
        with pytest.raises(RefusedError, match="gzip"):
            read_web(fs, f"{url}/gzip", 0, 2**30)
        (error,) = read_ranges([Range(f"{url}/gzip", 0, -1)], 10**6)
    assert isinstance(error, ImageError)
    assert error.kind == "unreadable"


def test_nothing_is_decompressed(monkeypatch):
    """An answer is refused by its head, its body unread."""
    from aiohttp import http_parser

    monkeypatch.setattr(http_parser, "DeflateBuffer", None)
    fs, _ = filesystem("http://127.0.0.1/")
    session = sync(fs.loop, fs.set_session)
    assert session._auto_decompress is False
    with server() as url, pytest.raises(RefusedError, match="gzip"):
        read_web(fs, f"{url}/gzip", 0, 2**30)


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("itself", "redirects without end"),
        ("file:///etc/passwd", "no web server .file:///etc/passwd"),
        ("ftp://127.0.0.1/x", "no web server .ftp:"),
        ("data:image/png;base64,AAAA", "no web server .data:"),
        ("s3://bucket/key", "no web server .s3:"),
    ],
)
def test_redirects_lead_to_web_servers_and_end(to, words):
    """They are not asked again, as servers are that may come back."""
    with server() as url:
        Server.asked.clear()
        (error,) = read_ranges([Range(f"{url}/to?{to}", 0, -1)], 10**6)
        assert (error.kind, len(Server.asked) <= 10) == ("unreadable", True)
        assert re.search(words, str(error))


def test_credentials_of_an_address_do_not_go_to_another_server():
    with server() as first, server() as second:
        Server.asked.clear()
        there = second.replace("127.0.0.1", "localhost")
        address = first.replace("//", "//user:word@")
        (data,) = read_ranges([Range(f"{address}/to?{there}/asked", 0, -1)], 10**6)
        assert data == b"identity"
    assert [headers["Authorization"] is None for headers in Server.asked] == [False, True]


def test_a_body_without_end_is_cut_at_the_limit():
    fs = fsspec.filesystem("http")
    Server.sent = 0
    with server() as url:
        assert len(read_web(fs, f"{url}/endless", 0, 10**6)) == 10**6
        # a server without ranges: what comes before is dropped
        assert len(read_web(fs, f"{url}/endless", 3 * 10**6, 3 * 10**6 + 7)) == 7
        with pytest.raises(TooManyBytesError):
            read_bounded(fs, f"{url}/endless", 10**6)
        (error,) = read_ranges([Range(f"{url}/endless", 0, -1)], 10**6)
    assert error.kind == "too_large"
    assert Server.sent < 2**27


def test_a_server_that_sends_too_little_is_left(monkeypatch):
    monkeypatch.setattr(bounded, "_FIRST_SECONDS", 0.3)
    with server() as url:
        (error,) = read_ranges([Range(f"{url}/slow", 0, -1)], 10**6)
    assert error.kind == "timeout"


def test_large_files_of_unknown_size_are_in_memory_one_at_a_time(monkeypatch):
    monkeypatch.setattr("vggbatch.storage.ranges._UNKNOWN_AHEAD", 100)
    fs = fsspec.filesystem("memory")
    for name in "abc":
        fs.pipe(f"/bounded/{name}", name.encode() * 500)
    fs.pipe("/bounded/d", b"d" * 2000)
    wanted = [Range(f"memory://bounded/{name}", 0, -1) for name in "abcd"]
    *found, last = read_ranges(wanted, 1000)
    assert found == [name.encode() * 500 for name in "abc"]
    assert last.kind == "too_large"
    fs.rm("/bounded", recursive=True)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "long.jpg").symlink_to("x" * 300)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
        for name, kind in (
            (str(tmp_path / "pipe.jpg"), "a named pipe"),
            (str(tmp_path / "socket.jpg"), "a socket"),
            ("/dev/zero", "a device"),
        ):
            with pytest.raises(NotRegularError, match=kind):
                open_regular(name)
            with pytest.raises(NotRegularError, match=kind):
                read_bounded(fsspec.filesystem("file"), name, 10)
            (error,) = read_ranges([Range(name, 0, -1)], 99)
            assert error.kind == "unreadable"
            assert kind in error.message
    for name in ("loop.jpg", "long.jpg"):
        (error,) = read_ranges([Range(str(tmp_path / name), 0, -1)], 99)
        assert error.kind in ("unreadable", "missing")


def test_a_whole_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bounded", b"12345")
    for fs, path in ((fsspec.filesystem("file"), str(tmp_path / "a")), (memory, "/bounded")):
        assert read_bounded(fs, path, 5) == b"12345"
        with pytest.raises(TooManyBytesError, match="4 bytes"):
            read_bounded(fs, path, 4)
    memory.rm("/bounded")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(IsADirectoryError) as found:
            open_regular(tmp_path)
        assert os.fspath(found.value.filename) == os.fspath(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
