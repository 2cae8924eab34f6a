"""Google's and Azure's stores: listed, read, scored from and written to, as S3 and a disk are."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.support.formats import number_of, write_all
from tests.support.images import cut, jpeg
from tests.support.plain_loop import plain_scores
from tests.support.stores.clouds import AZURE_KEY, azure_connection
from vggbatch import api
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.catalog import synset
from vggbatch.sources import discover
from vggbatch.sources.listing import list_input
from vggbatch.storage.filesystem import filesystem
from vggbatch.storage.ranges import Range, read_ranges

COUNT = 4
DATA = bytes(range(256)) * 8000


@pytest.fixture(params=["gs", "abfs"])
def box(request):
    """The URI of a bucket or container."""
    request.getfixturevalue({"gs": "gcs_server", "abfs": "azure_server"}[request.param])
    uri = f"{request.param}://box"
    fs, path = filesystem(uri)
    if not fs.exists(path):
        fs.mkdir(path)
    return uri


def vggbatch(*words):
    """Run a command in a process of its own, which has the environment alone to go by."""
    return subprocess.run(
        [sys.executable, "-m", "vggbatch", *map(str, words)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_listing(box):
    fs, path = filesystem(box)
    names = ["n01440764/a b+c%20.jpg", "n01440764/deep/\u00e9.jpg", "top.png", ".hidden/x.jpg"]
    fs.pipe({f"{path}/list/{name}": b"123" for name in names})
    visible = sorted(names[:-1])
    found = sorted(list_input(f"{box}/list"), key=lambda file: file.name)
    assert [file.name for file in found] == visible
    assert [file.uri.rpartition("/list/")[2] for file in found] == visible
    assert all(file.size == 3 and file.version for file in found)
    assert [file.name for file in list_input(f"{box}/list/*.png")] == ["top.png"]
    before = discover([f"{box}/list"])
    assert discover([f"{box}/list"]) == before
    fs.pipe(f"{path}/list/top.png", b"456")
    assert discover([f"{box}/list"]) != before
    with pytest.raises(UsageError, match="no such file or folder"):
        list(list_input(f"{box}/none"))


def test_ranges(box):
    fs, path = filesystem(box)
    fs.pipe({f"{path}/ranges/a": DATA, f"{path}/ranges/empty": b""})
    uri = f"{box}/ranges/a"
    places = [(0, 9), (5000, 5000), (1_500_000, 100_000), (700, 1), (len(DATA) - 3, 3)]
    wanted = [Range(uri, offset, size) for offset, size in places]
    assert list(read_ranges(wanted, 2**40)) == [DATA[o : o + size] for o, size in places]
    assert list(read_ranges([Range(uri, 0, -1), Range(f"{box}/ranges/empty", 0, -1)], 2**40)) == [
        DATA,
        b"",
    ]
    missing, short, past = read_ranges(
        [Range(f"{box}/ranges/none", 0, 5), Range(uri, len(DATA) - 3, 9), Range(uri, 2**30, 9)],
        2**40,
    )
    assert (missing.kind, short.kind, past.kind) == ("missing", "truncated", "truncated")


def test_scored_from_and_written_to(box, net, tmp_path):
    classes = [line.split()[0] for line in synset()]
    labels = [number * 37 % 1000 for number in range(COUNT)]
    images = [jpeg(cut(number)) for number in range(COUNT)]
    tree = tmp_path / "tree"
    inputs = write_all(tree, images, labels, classes)
    kinds = ("synsets", "tar", "webdataset", "hugging-face", "recordio", "tfrecord", "csv", "list")
    files = [file for kind in kinds for file in (tree / kind).rglob("*") if file.is_file()]
    fs, path = filesystem(box)
    fs.pipe({f"{path}/all/{file.relative_to(tree)}": file.read_bytes() for file in files})
    words = ["score", *(f"{box}/all/{inputs[kind]}" for kind in kinds), "-m", net]
    words += ["-o", f"{box}/out", "--labels", "embedded", "--set", "chunk_size=5"]
    done = vggbatch(*words)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = api.load_predictions(f"{box}/out").to_pylist()
    assert len(rows) == COUNT * len(kinds)
    originals = sorted((tree / "folder/images").iterdir())
    scores = plain_scores(net, originals, Preprocess(resize=36, crop=32))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    for row in rows:
        number = number_of(row["image_id"])
        assert row["error"] is None
        assert row["source"].startswith(f"{box}/all/")
        assert row["top5_index"] == best[number].tolist(), row["image_id"]
        np.testing.assert_allclose(row["top5_probability"], scores[number][best[number]], atol=1e-5)
        labeled = row["source"].split("/")[4] not in ("tar", "list")
        assert row["label"] == (labels[number] if labeled else None), row["source"]
    again = vggbatch(*words)
    assert again.returncode == 0, again.stderr
    assert len(api.load_predictions(f"{box}/out")) == len(rows)
    for file in fs.find(f"{path}/out"):
        assert AZURE_KEY.encode() not in fs.cat_file(file)


def test_a_wrong_key_is_one_line(azure_server, monkeypatch, net):
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", azure_connection(azure_server, "d3Jvbmc=")
    )
    done = vggbatch("plan", "abfs://box/list", "-m", net, "-o", "abfs://box/out")
    assert done.returncode == 2
    assert "abfs://box/list: " in done.stderr
    assert "Traceback" not in done.stderr


def test_no_credentials_are_one_line(s3_server, monkeypatch, net):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    done = vggbatch("plan", "s3://none/list", "-m", net, "-o", "s3://none/out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: s3://none/list: cannot be listed: ")
    assert "Traceback" not in done.stderr
