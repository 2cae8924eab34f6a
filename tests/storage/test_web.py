"""Listings of web servers end, and what cannot be listed whole is an error."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vggbatch.errors import UsageError
from vggbatch.sources.listing import list_input
from vggbatch.storage import web
from vggbatch.storage.web import _below

PAGE = b'<html><a href="../">up</a> <a class=x href="a.jpg">a</a> <A HREF=\'b.jpg\'>b</A></html>'


class Server(BaseHTTPRequestHandler):
    """Pages by their path; a name with a dot is a file, where its server is asked for its head."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()

    def do_GET(self):
        folder = self.path.split("/")[1]
        if folder == "broken" and "sub" in self.path:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        if folder == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        try:
            if folder == "endless":
                while True:
                    self.wfile.write(PAGE * 1000)
            if folder == "hostile":
                self.wfile.write(b"<a " * 2**18 + b"<a href=" * 2**18 + b'"' + b"x" * 2**20)
            self.wfile.write(PAGE)
            if folder in ("deep", "wide", "broken"):
                self.wfile.write(b'<a href="sub/">sub</a>')
            if folder == "wide":
                self.wfile.write(b'<a href="sib/">sub</a>')
        except OSError:
            pass


@contextmanager
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()


def test_the_links_of_a_page_are_its_files():
    with server() as url:
        for pattern in ("plain/*.jpg", "hostile/*.jpg"):
            found = {listed.uri for listed in list_input(f"{url}/{pattern}")}
            folder = pattern.split("/")[0]
            assert found == {f"{url}/{folder}/a.jpg", f"{url}/{folder}/b.jpg"}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("endless/*.jpg", "more than 16 MiB in a page"),
        ("deep/**", "or 64 folders deep"),
        ("deep/*", "or 64 folders deep"),
        ("wide/**.jpg", "more than 16 MiB in a page, 20 pages"),
        ("gzip/*.jpg", "sends it compressed"),
        # fsspec lists what else there is
        ("broken/**.jpg", "503"),
    ],
)
def test_a_listing_without_end_or_with_a_gap_is_one_line(pattern, words, monkeypatch):
    if pattern.startswith("wide"):
        monkeypatch.setattr(web, "_PAGES", 20)
    with server() as url, pytest.raises(UsageError, match=re.escape(words)) as caught:
        list(list_input(f"{url}/{pattern}"))
    assert "\n" not in str(caught.value)


def test_only_what_is_below_a_page_is_listed():
    links = ["/d/x.jpg", "/e/y.jpg", "https://host/d/z.jpg", "http://other/d/u.jpg", "v.jpg", ".."]
    page = "".join(f'<a href="{link}">' for link in links)
    found = ["http://host/d/v.jpg", "http://host/d/x.jpg", "https://host/d/z.jpg"]
    assert _below("http://host/d/", page) == ["http://host/e/y.jpg", *found] or found
