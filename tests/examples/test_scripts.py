"""The examples that are programs for a shell or DuckDB, run on small inputs."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vggbatch
from tests.support.images import cut, jpeg, write_folder

EXAMPLES = Path("examples").resolve()
ENVIRON = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder, path, *words, status=0, **environ):
    done = subprocess.run(
        ["bash", EXAMPLES / path, *map(str, words)],
        cwd=folder,
        env={**ENVIRON, **{name: str(value) for name, value in environ.items()}},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def place(tmp_path):
    """Images with labels."""
    names = write_folder(tmp_path / "images", 8)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "class_index"), *((n, i) for i, n in enumerate(names))]
        )
    return tmp_path


@pytest.mark.slow
def test_imagenet(place, net):
    run(place, "imagenet/evaluate.sh", "images", "labels.csv", "out", MODEL=net)
    assert (place / "out/report.html").exists()
    [first, *_] = vggbatch.load_run(place / "out")["metrics"]
    assert (first["label_set"], first["metric"], first["n"]) == ("ILSVRC2012", "top1", 8)
    wrong = run(place, "imagenet/evaluate.sh", "images", "label.csv", "new", status=2, MODEL=net)
    assert wrong.stderr.count("error:") == 1


@pytest.mark.slow
def test_int8(place):
    import onnx

    from vggbatch.models.synthesis import synthesize

    onnx.save(synthesize("vgg16-12", shrink=16), place / "net.onnx")
    (place / "net.yaml").write_text("preprocess: zoo\n")
    words = ["net.onnx", "images", "images", "labels.csv", "out"]
    run(place, "int8/compare.sh", *words)
    assert (place / "out/int8/comparison.html").exists()
    # nothing is done twice
    made = (place / "out/net-int8.onnx").stat().st_mtime_ns
    run(place, "int8/compare.sh", *words)
    assert (place / "out/net-int8.onnx").stat().st_mtime_ns == made


@pytest.mark.slow
def test_nights(place, net):
    environ = {"VGGBATCH_MODEL": net, "PAUSE": 0}
    run(place, "nightly/append.sh", "images", "out", **environ)
    (place / "images/new.jpg").write_bytes(jpeg(cut(99)))
    (place / "images/00000.jpg").unlink()
    run(place, "nightly/append.sh", "images", "out", **environ)
    ids = vggbatch.load_predictions(place / "out", ["image_id"])["image_id"].to_pylist()
    assert sorted(ids) == [*(f"{number:05d}.jpg" for number in range(1, 8)), "new.jpg"]
    wrong = run(place, "nightly/append.sh", "nowhere", "out", status=2, **environ)
    assert wrong.stderr.count("error:") == 1, "status 2 is not tried again"


@pytest.mark.slow
def test_the_nearest_images_are_those_of_numpy(place, net):
    pytest.importorskip("duckdb", reason="needs duckdb, which the test extra has")
    vggbatch.score(place / "images", output=place / "out", model=net, features="float32")
    script = [sys.executable, EXAMPLES / "vectors/index.py", "out", "index.duckdb", "00003.jpg"]
    done = subprocess.run(script, cwd=place, capture_output=True, text=True, check=True)
    first, *lines = done.stdout.splitlines()
    assert first == "8 images"
    rows = vggbatch.load_predictions(place / "out").sort_by("image_id").to_pylist()
    vectors = np.array([row["features"] for row in rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[3]
    expected = [i for i in np.argsort(-cosine, kind="stable") if i != 3][:5]
    assert [line.split()[1] for line in lines] == [rows[i]["image_id"] for i in expected]
    np.testing.assert_allclose(
        [float(line.split()[0]) for line in lines], cosine[expected], atol=1e-4
    )
