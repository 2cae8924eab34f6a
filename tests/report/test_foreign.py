"""Pages of outputs that somebody else has prepared: they show no file that was not asked for."""

import dataclasses
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.images import cut, jpeg, write_folder
from vggbatch import evaluate, forget, merge, rescore, score, write_report
from vggbatch.chunks.chunk import shard_table
from vggbatch.errors import UsageError
from vggbatch.output.layout import Output
from vggbatch.output.verify import declaration
from vggbatch.sources.base import MEMBERS_SCHEMA
from vggbatch.storage.filesystem import Folder

pytestmark = pytest.mark.usefixtures("scored_here")


@pytest.fixture(scope="module")
def done(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("done")
    write_folder(root / "images", 2)
    score(root / "images", model=net, output=root / "out")
    return root


@pytest.fixture
def place(done, tmp_path):
    """A copy of its output, and a picture that no reader may see."""
    shutil.copytree(done / "out", tmp_path / "out")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "me.jpg").write_bytes(jpeg(cut(7)))
    return tmp_path


def shows_images(page):
    with open(page) as file:
        return "data:image/webp" in file.read()


def name_as_source(folder, source):
    """Let the output say that all of its images are this file."""
    (path,) = (folder / "_vggbatch").glob("*/shards.parquet")
    numbered = Output(Folder(str(folder))).read_shards()
    changed = []
    for number, group, shard in numbered:
        rows = shard.members.to_pylist()
        for row in rows:
            row.update(source=source, size=-1)
        members = pa.Table.from_pylist(rows, schema=MEMBERS_SCHEMA)
        changed.append((number, group, dataclasses.replace(shard, members=members)))
    pq.write_table(shard_table(changed), path)


def test_the_run_of_this_user_shows_its_images(done):
    assert shows_images(write_report(str(done / "out")))


def test_a_copy_shows_none_unless_asked(done, place):
    out = str(place / "out")
    page = write_report(out)
    assert not shows_images(page)
    with open(page) as file:
        assert "--images FOLDER" in file.read()
    assert not shows_images(write_report(out, images=[str(place / "private")]))
    assert shows_images(write_report(out, images=[str(done / "images")]))
    assert shows_images(write_report(out, images=[(done / "images").as_uri()]))


def test_no_private_file(done, place):
    own = place / "own"
    shutil.copytree(done / "images", place / "images")
    for folder in (place / "out", own):
        if folder == own:  # changed after this user has recorded it
            shutil.copytree(done / "out", own)
        name_as_source(folder, str(place / "private" / "me.jpg"))
        assert not shows_images(write_report(str(folder)))
        assert not shows_images(write_report(str(folder), images=[str(place / "images")]))
        (place / "images" / "link.jpg").unlink(missing_ok=True)
        (place / "images" / "link.jpg").symlink_to(place / "private" / "me.jpg")
        name_as_source(folder, str(place / "images" / "link.jpg"))
        assert not shows_images(write_report(str(folder), images=[str(place / "images")]))
        name_as_source(folder, f"{place}/images/../private/me.jpg")
        assert not shows_images(write_report(str(folder), images=[str(place / "images")]))


@pytest.fixture
def asked():
    """A web server's address, and the paths that it was asked for."""
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


def test_no_request(place, asked):
    host, paths = asked
    name_as_source(place / "out", f"{host}/admin/x.jpg")
    write_report(str(place / "out"))
    write_report(str(place / "out"), images=["http://127.0.0.1/admin", f"{host}/other", "/"])
    assert not paths
    write_report(str(place / "out"), images=[f"{host}/admin"])
    assert paths


def change(out, key, **values):
    """Let an output's run.json say something else, consistently."""
    record = json.loads((out / "run.json").read_text())
    record[key] |= values
    (out / "run.json").write_text(json.dumps(record))
    (out / "_SUCCESS").write_text(json.dumps(declaration(record)))


@pytest.fixture(scope="module")
def evaluated(done, net):
    """Two runs with labels of a file, of one image each, and a copy of their input."""
    lines = [f"{number:05}.jpg,{number}" for number in range(2)]
    (done / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    for number in range(2):
        (done / f"day{number}").mkdir()
        shutil.copy(done / "images" / f"{number:05}.jpg", done / f"day{number}")
        evaluate(
            done / f"day{number}",
            labels=str(done / "labels.csv"),
            model=net,
            output=done / f"evaluated{number}",
        )
    return done


@pytest.mark.parametrize("name", ["{host}/l.csv", "embedded@{host}/classes.txt", "x=l@{host}/c"])
def test_labels_that_another_user_names_are_not_opened(evaluated, tmp_path, asked, name):
    host, paths = asked
    spec = name.format(host=host)
    for number in range(2):
        shutil.copytree(evaluated / f"evaluated{number}", tmp_path / f"out{number}")
        change(tmp_path / f"out{number}", "config", labels=[spec])
    outs = [str(tmp_path / f"out{number}") for number in range(2)]
    assert "Mistakes are not shown" in Path(write_report(outs[0])).read_text()
    record = merge(outs, str(tmp_path / "merged"))
    assert record["metrics"] is None
    assert record["config"]["labels"] == []
    assert "vggbatch rescore computes them" in record["warnings"][0]
    assert not paths


def test_labels_in_the_rows_are_merged_whoever_recorded_them(evaluated, tmp_path):
    outs = [
        str(shutil.copytree(evaluated / f"evaluated{number}", tmp_path / f"{number}"))
        for number in range(2)
    ]
    record = merge(outs, str(tmp_path / "merged"))
    assert record["counts"]["images"] == 2
    assert {line["n"] for line in record["metrics"] if line["metric"] == "top1"} == {2}
    assert not record["warnings"]


def test_predictions_that_another_user_names_are_not_opened(evaluated, tmp_path, asked):
    host, paths = asked
    rescore(str(evaluated / "evaluated0"), "embedded", str(tmp_path / "own"))
    shutil.copytree(tmp_path / "own", tmp_path / "theirs")
    for named in (f"{host}/out", str(evaluated / "evaluated0"), f"{tmp_path}/../x", "nosuch://x"):
        change(tmp_path / "theirs", "rescored", predictions=named)
        with pytest.raises(UsageError, match=r"not recorded here by you|is not opened"):
            write_report(str(tmp_path / "theirs"))
    assert not paths
    shutil.copytree(evaluated / "evaluated0", tmp_path / "beside")
    change(tmp_path / "theirs", "rescored", predictions=str(tmp_path / "beside"))
    write_report(str(tmp_path / "theirs"))


def test_rescored_predictions_are_shown_to_whoever_rescored_them(done, place):
    out = str(place / "rescored")
    labels = place / "labels.csv"
    names = sorted(path.name for path in (done / "images").iterdir())
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    labels.write_text("\n".join(["file,class_index", *lines]) + "\n")
    rescore(str(done / "out"), str(labels), out)
    assert shows_images(write_report(out))
    shutil.copytree(out, place / "theirs")
    with pytest.raises(UsageError, match="not recorded here by you"):
        write_report(str(place / "theirs"))
    page = write_report(str(place / "theirs"), images=[str(done)])
    assert "Mistakes are not shown" in Path(page).read_text()


def test_an_output_in_a_store_names_no_file(done, place):
    folder = Folder("memory://foreign-output")
    labels = place / "labels.csv"
    names = sorted(path.name for path in (done / "images").iterdir())
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    labels.write_text("\n".join(["file,class_index", *lines]) + "\n")
    rescore(str(done / "out"), str(labels), folder.uri)
    write_report(folder.uri)
    record = json.loads(folder.read_bytes("run.json")) | {"vggbatch": "0"}
    folder.write_json("run.json", record)
    folder.write_json("_SUCCESS", declaration(record))
    with pytest.raises(UsageError, match="a file of this machine"):
        write_report(folder.uri)


def test_forget_opens_nothing_that_another_user_names(evaluated, tmp_path, net, asked):
    host, paths = asked
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for number in range(2):
            file.add(evaluated / "images" / f"{number:05}.jpg", f"{number}.jpg")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class_index\na.tar/0.jpg,0\na.tar/1.jpg,1\n")
    out = tmp_path / "out"
    evaluate(tmp_path / "a.tar", labels=str(labels), model=net, output=out)
    (path,) = (out / "_vggbatch").glob("*/shards.parquet")
    numbered = Output(Folder(str(out))).read_shards()
    named = [(n, g, dataclasses.replace(s, uri=f"{host}/a.tar")) for n, g, s in numbered]
    pq.write_table(shard_table(named), path)
    change(out, "config", labels=[f"{host}/labels.csv"])
    assert forget(str(out), ["a.tar/0.jpg"]) == 1
    assert not paths
    record = json.loads((out / "run.json").read_text())
    assert (record["counts"]["images"], record["metrics"]) == (1, None)
