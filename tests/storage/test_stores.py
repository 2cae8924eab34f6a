import functools
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import fsspec
import pytest

from tests.support.ports import free_ports
from tests.support.stores.clients import fresh
from tests.support.stores.faulty_proxy import faulty
from vggbatch.storage import stores
from vggbatch.storage.ranges import Range, open_binary, read_ranges
from vggbatch.storage.stores import StoreError, arrow_reads, retried, store_of

DATA = bytes(range(256)) * 4000


def sleep_by(monkeypatch, function):
    """Pauses of the module itself; threads of others sleep as ever."""
    clock = SimpleNamespace(sleep=function, monotonic=time.monotonic)
    monkeypatch.setattr(stores, "time", clock)


def clients(uri):
    """Both ways of reading the URI's store."""
    fs, path = stores.filesystem(uri)
    return [stores._Fsspec(fs), stores._ArrowS3(fs, path.split("/")[0])], path


def test_retried_gives_up_with_the_reason(monkeypatch):
    pauses = []
    sleep_by(monkeypatch, pauses.append)

    def refuse():
        raise OSError(16, "SlowDown")

    with pytest.raises(StoreError, match=r"does not answer after 8 tries: .*SlowDown"):
        retried(refuse)
    assert len(pauses) == 8
    assert sum(pauses) < 60


def test_faults_of_the_program_and_answers_are_not_retried():
    errors = {
        TypeError("a fault"): TypeError,
        FileNotFoundError("an answer"): FileNotFoundError,
        PermissionError("one"): PermissionError,
        # what a client refuses, such as a name that cannot be one: no line of a list ends a run
        ValueError("no such name"): PermissionError,
    }
    for error, raised in errors.items():
        calls = []

        def fail(error=error, calls=calls):
            calls.append(1)
            raise error

        with pytest.raises(raised):
            retried(fail)
        assert len(calls) == 1


def test_both_clients_answer_alike(s3_server):
    fs = fsspec.filesystem("s3")
    fs.mkdir("stores-alike")
    fs.pipe({"stores-alike/a b+c%20/\u00e9.jpg": DATA, "stores-alike/empty": b""})
    both, path = clients("s3://stores-alike/a b+c%20/\u00e9.jpg")
    for start, end in [(0, 9), (1000, 5000), (len(DATA) - 3, len(DATA) + 9), (2**30, 2**31)]:
        assert [client.read(path, start, end) for client in both] == [DATA[start:end]] * 2
    for client in both:
        assert client.read("stores-alike/empty", 0, 5) == b""
        for missing in ("stores-alike/none", "stores-none/a"):
            with pytest.raises(FileNotFoundError):
                client.read(missing, 0, 5)


def test_arrow_follows_an_object_that_is_gone(s3_server):
    fs = fsspec.filesystem("s3")
    fs.mkdir("stores-gone")
    fs.pipe("stores-gone/a", DATA)
    client = stores._ArrowS3(fs, "stores-gone")
    assert client.read("stores-gone/a", 0, 5) == DATA[:5]
    fs.rm("stores-gone/a")
    # the answer to the first try is no more than a broken stream
    with pytest.raises(FileNotFoundError):
        retried(lambda: client.read("stores-gone/a", 0, 5))


def test_a_wrong_key_is_forbidden_to_both(s3_server, monkeypatch):
    fsspec.filesystem("s3").mkdir("stores-closed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    fresh()
    both, path = clients("s3://stores-closed/a")
    for client in both:
        with pytest.raises(PermissionError):
            client.read(path, 0, 5)


def test_anonymous_access(s3_server, monkeypatch):
    fs = fsspec.filesystem("s3")
    fs.mkdir("public")
    fs.mkdir("stores-private")
    fs.pipe({"public/a": DATA, "stores-private/a": DATA})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
    fresh()
    store, path = store_of("s3://public/a")
    assert type(store) is stores._ArrowS3
    assert store.read(path, 3, 9) == DATA[3:9]
    with pytest.raises(PermissionError):
        store_of("s3://stores-private/a")[0].read("stores-private/a", 0, 5)


def test_new_credentials_make_a_new_client(s3_server, monkeypatch):
    fs = fsspec.filesystem("s3")
    fs.mkdir("stores-role")
    fs.pipe("stores-role/a", DATA)
    client = stores._ArrowS3(fs, "stores-role")
    monkeypatch.setattr(stores, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(stores, "_credentials", lambda fs: ("testkey", "old", None))
    with pytest.raises(PermissionError):
        client.read("stores-role/a", 0, 5)
    monkeypatch.setattr(stores, "_credentials", lambda fs: ("testkey", "testsecret", None))
    assert client.read("stores-role/a", 0, 5) == DATA[:5]


def test_what_only_s3fs_knows_is_left_to_it(s3_server, monkeypatch):
    import s3fs

    assert arrow_reads(s3fs.S3FileSystem(), "bucket")
    assert arrow_reads(s3fs.S3FileSystem(client_kwargs={"region_name": "eu-west-1"}), "bucket")
    assert not arrow_reads(s3fs.S3FileSystem(), "arn:aws:s3:us-west-2:1:accesspoint")
    assert not arrow_reads(s3fs.S3FileSystem(requester_pays=True), "bucket")
    assert not arrow_reads(s3fs.S3FileSystem(config_kwargs={"connect_timeout": 9}), "bucket")
    assert not arrow_reads(fsspec.filesystem("memory"), "bucket")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert not arrow_reads(s3fs.S3FileSystem(), "bucket")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert arrow_reads(s3fs.S3FileSystem(), "bucket")


@pytest.mark.parametrize("client", ["_ArrowS3", "_Fsspec"])
def test_s3_that_refuses_and_cuts(s3_server, monkeypatch, client):
    fs = fsspec.filesystem("s3")
    bucket = f"faulty-{client[1:].lower()}"
    fs.mkdir(bucket)
    fs.pipe(f"{bucket}/a", DATA)
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(stores, "arrow_reads", lambda *given: client == "_ArrowS3")
    with faulty(s3_server.endpoint, share=0.4, seed=1) as (endpoint, counts):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        fresh()
        wanted = [Range(f"s3://{bucket}/a", i * 10_000, 5000) for i in range(25)]
        monkeypatch.setattr("vggbatch.storage.ranges._GAP", 0)
        assert list(read_ranges(wanted, 2**40)) == [DATA[r.offset :][:5000] for r in wanted]
        assert counts["refused"] > 2
        assert counts["cut"] > 2
        assert type(store_of(f"s3://{bucket}/a")[0]).__name__ == client
        fresh()


class Ranges(SimpleHTTPRequestHandler):
    """A web server that answers ranges, with status 416 where one starts past the end."""

    def do_GET(self):
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data = DATA[first : last + 1]
        self.send_response(206 if data else 416)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def web_server(folder, kind=SimpleHTTPRequestHandler):
    """http.server, which knows no ranges by itself."""
    handler = functools.partial(kind, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_web_server_without_ranges(tmp_path):
    (tmp_path / "a").write_bytes(DATA)
    with web_server(tmp_path) as url:
        wanted = [Range(f"{url}/a", 7, 100), Range(f"{url}/a", 10**6, 10), Range(f"{url}/a", 0, -1)]
        assert list(read_ranges(wanted, 2**40)) == [DATA[7:107], DATA[10**6 : 10**6 + 10], DATA]


def test_a_range_past_the_end_of_a_file_on_the_web(tmp_path):
    with web_server(tmp_path, Ranges) as url:
        inside, past = read_ranges([Range(f"{url}/a", 7, 9), Range(f"{url}/a", 2**30, 9)], 2**40)
    assert inside == DATA[7:16]
    assert past.kind == "truncated"


class Refusing(SimpleHTTPRequestHandler):
    """A web server that answers with the status in the file's name."""

    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()


def test_what_a_web_server_refuses_is_an_image_that_cannot_be_read(tmp_path, monkeypatch):
    pauses = []
    sleep_by(monkeypatch, pauses.append)
    with web_server(tmp_path, Refusing) as url:
        errors = list(read_ranges([Range(f"{url}/{s}", 0, 9) for s in (403, 404, 410, 451)], 99))
        assert [error.kind for error in errors] == [
            "unreadable",
            "missing",
            "missing",
            "unreadable",
        ]
        assert "HTTP status 403" in errors[0].message
        assert not pauses
        (busy,) = read_ranges([Range(f"{url}/503", 0, 9)], 99)
    assert busy.kind == "unreadable"
    assert len(pauses) == 8


def test_a_web_server_that_is_gone_costs_its_images_alone(tmp_path, monkeypatch):
    sleep_by(monkeypatch, lambda seconds: None)
    (tmp_path / "a").write_bytes(DATA)
    with web_server(tmp_path) as gone:
        pass
    with web_server(tmp_path) as url:
        lost, found = read_ranges([Range(f"{gone}/a", 0, -1), Range(f"{url}/a", 0, -1)], 2**40)
    assert lost.kind == "unreadable"
    assert "does not answer" in lost.message
    assert found == DATA


class Endless(SimpleHTTPRequestHandler):
    """A web server that does not say how long a file is."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_GET


def test_a_shard_of_unknown_length_is_refused(tmp_path):
    with web_server(tmp_path, Endless) as url, pytest.raises(StoreError, match="does not say how"):
        open_binary(f"{url}/a.tar", -1)


def test_a_web_server_that_takes_no_connection_is_soon_given_up():
    [port] = free_ports(1)
    started = time.monotonic()
    store, path = store_of(f"http://127.0.0.1:{port}/x.jpg")
    with pytest.raises(StoreError, match="does not answer after 3 tries"):
        retried(lambda: store.read(path, 0, 10))
    assert time.monotonic() - started < 10
