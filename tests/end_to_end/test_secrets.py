"""Secrets of URIs: nothing below an output, in a log or on the terminal shows them."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.images import write_folder
from vggbatch import cli, predict, score, write_report
from vggbatch.errors import VggbatchError
from vggbatch.runs.progress import status

SECRETS = (b"TOPSECRET", b"PASSWORD")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An address that gives three images to anyone with a signature."""
    folder = tmp_path_factory.mktemp("served")
    write_folder(folder / "images", 3)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            if "X-Amz-Signature=" in self.path or "id=" in self.path:
                super().do_GET()
            else:
                self.send_error(403, f"signature of {self.path}")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/images"
    server.shutdown()
    server.server_close()


def manifest(folder, server, signature="TOPSECRET"):
    signed = f"X-Amz-Signature={signature}&X-Amz-Date=1"
    lines = [
        f"http://{server}/00000.jpg?{signed}",
        f"http://user:PASSWORD@{server}/00001.jpg?{signed}#TOPSECRET",
        f"http://{server}/00002.jpg?id=1TOPSECRET",
        f"http://{server}/00002.jpg?id=2TOPSECRET",
        f"http://{server}/00002.jpg?sig=TOPSECRET",
        f"http://user:PASSWORD@{server}/none.jpg?id=TOPSECRET",
        "nosuch://user:PASSWORD@host/x.jpg?token=TOPSECRET",
        "simplecache::http://user:PASSWORD@host/x.jpg?token=TOPSECRET",
        "s3://KEY:PASSWORD@bu cket/x.jpg",
        "http://user:PASSWORD@[::1/x.jpg?token=TOPSECRET",
        "http://user:PASSWORD/PASSWORD@host/x.jpg",
    ]
    folder.mkdir(exist_ok=True)
    path = folder / "list.csv"
    path.write_text("\n".join(["url", *lines]) + "\n")
    return path


def found_below(folder):
    """Files that hold a secret, Parquet's values too."""
    found = []
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += str(pq.read_table(path).to_pylist()).encode()
                data += str(pq.read_metadata(path).metadata).encode()
            if any(secret in data for secret in SECRETS):
                found.append(path)
    return found


def run(*words, **environ):
    """A command as installed; its exit status and all that it says."""
    script = Path(sys.executable).with_name("vggbatch")
    done = subprocess.run(
        [str(script), *map(str, words)],
        capture_output=True,
        env=os.environ | environ,
        timeout=170,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_run_keeps_them_to_itself(tmp_path, net, server):
    out = tmp_path / "out"
    scored = score(manifest(tmp_path, server), model=net, output=out, max_error_rate=1)
    assert scored.record["counts"]["scored"] == 4
    assert scored.record["counts"]["errors_by_kind"] == {
        "unreadable": 1,
        "missing": 1,
        "refused": 5,
    }
    assert not found_below(out)
    rows = pq.read_table(out / "predictions").to_pylist()
    assert not any(secret.decode() in str(rows) for secret in SECRETS)
    ids = [row["image_id"] for row in rows]
    assert len(set(ids)) == 11
    assert f"http://{server}/00000.jpg" in ids
    assert f"http://{server}/00001.jpg" in ids
    # what is no signature tells images apart
    assert sum(name.startswith(f"http://{server}/00002.jpg?query=") for name in ids) == 2
    write_report(str(out))
    assert not found_below(out)


def test_signatures_may_be_renewed(tmp_path, net, server):
    out = tmp_path / "out"
    score(manifest(tmp_path, server), model=net, output=out, max_error_rate=1)
    (out / "_SUCCESS").unlink()
    renewed = manifest(tmp_path, server, "RENEWED")
    scored = score(renewed, model=net, output=out, max_error_rate=1)
    assert scored.result.scored_now == 0
    assert (out / "_SUCCESS").exists()


def test_errors_do_not_tell(tmp_path, net, server):
    (tmp_path / "labels.csv").write_text("file,class_index\n")
    images = str(manifest(tmp_path, server))
    secret = f"http://user:PASSWORD@{server}"
    for attempt in (
        lambda: score(f"{secret}/x.tar?sig=TOPSECRET", model=net, output=tmp_path / "a"),
        lambda: score(images, model=f"{secret}/n.onnx?token=TOPSECRET", output=tmp_path / "b"),
        lambda: score(images, model=net, labels=f"{secret}/l.csv?sig=TOPSECRET", output="c"),
        lambda: predict(f"ftp://user:PASSWORD@{server}/x.jpg", model=net),
        lambda: predict("s3://KEY:PASSWORD@bucket\x00/x.jpg", model=net),
    ):
        with pytest.raises(VggbatchError) as caught:
            attempt()
        text = f"{caught.value!s} {caught.value!r}"
        assert not any(word.decode() in text for word in SECRETS), text


def test_the_terminal_does_not_tell(tmp_path, net, server):
    images = manifest(tmp_path, server)
    for words in (
        ["score", images, "-m", net, "-o", tmp_path / "out", "-v", "--max-error-rate", "1"],
        ["predict", images, "-m", net, "--json"],
    ):
        _, said = run(*words)
        assert b"11" in said or b"refused" in said
        assert not any(secret in said for secret in SECRETS), said
    assert not found_below(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_ray_does_not_tell(tmp_path, net, server, log_format):
    images = manifest(tmp_path, server)
    with tempfile.TemporaryDirectory(prefix="ray-") as logs:
        status, said = run(
            *("score", images, "-m", net, "-o", tmp_path / "out", "-v", "--max-error-rate", 1),
            *("--set", "compute.executor=ray", "--set", f"compute.log_format={log_format}"),
            RAY_TMPDIR=logs,
        )
        assert status == 0, said
        assert not any(secret in said for secret in SECRETS), said
        assert any(Path(logs).rglob("*.log"))
        assert not found_below(logs)
    assert not found_below(tmp_path / "out")


ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"


def test_names_do_not_act_on_the_terminal(tmp_path, net, monkeypatch, capsys):
    folder = tmp_path / "images"
    write_folder(folder, 1)
    (folder / "00000.jpg").rename(folder / f"a{ESCAPES}b.jpg")
    (folder / f"bad{ESCAPES}.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    lines = [f"n{number:08} class{ESCAPES}{number}" for number in range(1000)]
    (tmp_path / "classes.txt").write_text("\n".join(lines), newline="")
    commands = [
        f"predict {folder} -m {net} --set model.classes={tmp_path}/classes.txt",
        f"predict {folder} -m {net} --json",
        f"predict {folder}/no{ESCAPES}file.jpg -m {net}",
        f"status {out}",
        f"status {out} --json",
    ]
    score(folder, model=net, output=out)
    (out / "_SUCCESS").unlink()
    holder = {"token": "t", "host": ESCAPES, "machine": "m", "pid": 1, "started_ticks": 1}
    holder |= {"since": ESCAPES, "snapshot": None, "beat_at": 1.0}
    lease = out / "_vggbatch" / "lease.json"
    lease.write_text(json.dumps(holder))
    monkeypatch.setattr(status, "_WATCHED", 0.1)
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["vggbatch", *command.split(" ")])
        with pytest.raises(SystemExit):
            cli.main()
        said = "".join(capsys.readouterr())
        assert said
        assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e"}, ascii(said)
        if command.endswith("--json"):
            json.loads(said[said.index("{") : said.rindex("}") + 1])
