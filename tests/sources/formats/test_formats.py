"""The same images through every format, on disk and in a bucket, give the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict

import fsspec
import numpy as np
import pytest

from tests.support.formats import number_of, write_all
from tests.support.images import cut, jpeg
from tests.support.plain_loop import plain_scores
from vggbatch import api
from vggbatch.config import Preprocess, load_config
from vggbatch.models.catalog import synset
from vggbatch.sources.pack import pack

COUNT = 12
PACKED = ("packed-tar", "packed-parquet")
UNLABELED = {"folder", "list", "tar", "val"}
FORMATS = (
    *("folder", "synsets", "tar", "webdataset", "val", "parquet", "hugging-face"),
    *("recordio", "recordio-parts", "tfrecord", "csv", "parquet-manifest", "list", *PACKED),
)


@pytest.fixture(scope="module")
def wnids():
    return [line.split()[0] for line in synset()]


@pytest.fixture(scope="module")
def labels():
    return [number * 37 % 1000 for number in range(COUNT)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory, labels, wnids):
    """All formats on disk: the folder, and the inputs in it by format."""
    root = tmp_path_factory.mktemp("formats")
    images = [jpeg(cut(number)) for number in range(COUNT)]
    inputs = write_all(root, images, labels, wnids)
    for name in PACKED:
        kind = name.removeprefix("packed-")
        for _ in pack(
            [str(root / "synsets")], str(root / name), shard_format=kind, shard_size=10_000
        ):
            pass
        inputs[name] = name
    return root, inputs


@pytest.fixture(scope="module")
def expected(tree, net):
    """Top-5 and probabilities of the plain loop, by image number."""
    files = sorted((tree[0] / "folder/images").iterdir())
    scores = plain_scores(net, files, Preprocess(resize=36, crop=32))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.fixture(scope="module")
def on_disk(tree, net, tmp_path_factory):
    """Rows by format, of one run over all formats on disk."""
    root, inputs = tree
    output = str(tmp_path_factory.mktemp("disk") / "out")
    values = {
        "input": tuple(str(root / path) for path in inputs.values()),
        "model": str(net),
        "output": output,
        "labels": "embedded",
    }
    api.score(load_config(options=values, settings=("chunk_size=5",), environ={}))
    return by_format(output, root.as_posix())


@pytest.fixture
def in_a_bucket(tree, net, tmp_path, s3_server):
    """Rows by format, of one run over all formats in a bucket."""
    root, inputs = tree
    fs = fsspec.filesystem("s3")
    fs.mkdir("formats")
    fs.put(f"{root}/", "formats/all/", recursive=True)
    words = ["score", *(f"s3://formats/all/{path}" for path in inputs.values())]
    words += ["-m", net, "-o", tmp_path / "out", "--labels", "embedded", "--set", "chunk_size=5"]
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", *map(str, words)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return by_format(str(tmp_path / "out"), "s3://formats/all")


def by_format(output, root):
    rows = defaultdict(list)
    for row in api.load_predictions(output).to_pylist():
        assert row["source"].startswith(f"{root}/")
        rows[row["source"][len(root) + 1 :].partition("/")[0]].append(row)
    return {name: sorted(found, key=number) for name, found in rows.items()}


def number(row):
    return number_of(row["image_id"])


def test_every_format_on_disk_gives_the_rows_of_a_plain_loop(on_disk, expected, labels):
    assert set(on_disk) == set(FORMATS)
    for name, rows in on_disk.items():
        assert [number(row) for row in rows] == list(range(COUNT)), name
        assert [row["error"] for row in rows] == [None] * COUNT, name
        assert [row["top5_index"] for row in rows] == expected[0].tolist(), name
        probabilities = np.array([row["top5_probability"] for row in rows])
        np.testing.assert_allclose(probabilities, expected[1], atol=1e-5, err_msg=name)
        known = [None] * COUNT if name in UNLABELED else labels
        assert [row["label"] for row in rows] == known, name


def test_every_format_in_a_bucket_gives_the_same_rows(on_disk, in_a_bucket):
    def without_source(rows):
        return [{**row, "source": None} for row in rows]

    assert set(in_a_bucket) == set(FORMATS)
    for name, rows in in_a_bucket.items():
        assert without_source(rows) == without_source(on_disk[name]), name
