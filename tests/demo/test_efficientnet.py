"""The network that the demo puts together, beside PyTorch's export of the same, and on pictures."""

import csv
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tests.support.demo import needs_package
from vggbatch.config import ModelOptions, Preprocess
from vggbatch.demo import network, trained_network
from vggbatch.demo.checkpoint import read_checkpoint
from vggbatch.demo.efficientnet import build
from vggbatch.errors import UsageError
from vggbatch.models.catalog import synset
from vggbatch.models.resolve import resolve

DATA = Path(os.environ.get("IMAGENET_TEST_DATA", "IMAGENET_TEST_DATA is not set"))
"""Outside the project: PyTorch's export, and real ImageNet pictures that nobody may pass on."""
PHOTOGRAPHS = files("vggbatch") / "demo"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_network(str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def tensors():
    return read_checkpoint(network._checkpoint().read_bytes())


def pixels(path):
    """As the network was trained: written out, by Pillow and numpy alone."""
    image = Image.open(path).convert("RGB")
    factor = 256 / min(image.size)
    image = image.resize([round(side * factor) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in image.size)
    cropped = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    return ((cropped - 127) / 128).transpose(2, 0, 1)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


@pytest.mark.slow
@needs_package
def test_it_scores_as_the_export_of_pytorch_does(trained):
    if not (DATA / "efficientnet-lite0.onnx").is_file():
        pytest.skip("needs efficientnet-lite0.onnx and imagenet-sample/ in $IMAGENET_TEST_DATA")
    ours, theirs = session(trained), session(DATA / "efficientnet-lite0.onnx")
    with open(DATA / "imagenet-sample/labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    differences, right = [], 0
    for row in rows:
        images = pixels(DATA / "imagenet-sample" / row["file"])[None]
        [mine], [other] = (one.run(None, {"images": images})[0] for one in (ours, theirs))
        differences.append(np.abs(mine - other).max())
        assert mine.argmax() == other.argmax()
        right += mine.argmax() == int(row["class_index"])
    assert len(rows) == 200
    assert max(differences) < 1e-4
    assert right / len(rows) == 0.9


@needs_package
def test_the_photographs_get_their_labels(trained):
    """Two first, two among the first five; the clock is blurred, and no network's first guess."""
    places = {}
    network = session(trained)
    with (PHOTOGRAPHS / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            images = pixels(PHOTOGRAPHS / "images" / row["file"])[None]
            order = network.run(None, {"images": images})[0][0].argsort()[::-1]
            wnids = [synset()[index].split()[0] for index in order[:5]]
            places[row["file"]] = wnids.index(row["wnid"]) + 1 if row["wnid"] in wnids else None
    assert places == {
        "cameraman.JPEG": 1,
        "cat.JPEG": 3,
        "clock.JPEG": None,
        "espresso.JPEG": 1,
        "missile.JPEG": 2,
    }


@needs_package
def test_what_is_in_the_cache_states_all_that_matters(trained):
    model = resolve(ModelOptions(name=str(trained)))
    assert not [one for one in model.assumptions if one.warning]
    assert (model.output, model.scores, model.input, model.layout) == (
        "logits",
        "logits",
        "images",
        "NCHW",
    )
    assert model.preprocess == Preprocess(
        interpolation="bicubic", scale=1, mean=(127, 127, 127), std=(128, 128, 128)
    )
    assert trained.parent.name == model.sha256[:16]


@needs_package
def test_it_is_made_once_and_again_where_it_was_changed(tmp_path):
    first = trained_network(str(tmp_path))
    made, before = first.stat().st_mtime_ns, first.read_bytes()
    assert trained_network(str(tmp_path)) == first
    assert first.stat().st_mtime_ns == made
    first.write_bytes(before[:-1] + b"!")
    first.with_suffix(".yaml").write_text("preprocess: zoo")
    assert trained_network(str(tmp_path)).read_bytes() == before
    assert "bicubic" in first.with_suffix(".yaml").read_text()


def test_another_checkpoint_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "efficientnet-lite0.pth"
    monkeypatch.setattr(network, "_checkpoint", lambda: changed)
    for content in (b"", b"\x80\x02N.", bytes(20_000_000)):
        changed.write_bytes(content)
        with pytest.raises(UsageError, match=r"its SHA-256 is another.*pip install"):
            trained_network(str(tmp_path / "cache"))
    changed.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        trained_network(str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_without_the_package_there_is_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "PACKAGE", "a-package-that-is-not-installed")
    assert trained_network(str(tmp_path)) is None


@needs_package
def test_tensors_of_another_network_are_refused(tensors):
    onnx.checker.check_model(build(tensors))
    for change in (
        {"_conv_stem.weight": None},
        {"_fc.weight": tensors["_fc.weight"].T},
        {"_bn0.bias": tensors["_bn0.bias"].astype(np.float64)},
        {"_blocks.16._bn0.bias": tensors["_bn0.bias"]},
    ):
        other = {name: value for name, value in (tensors | change).items() if value is not None}
        with pytest.raises(ValueError, match=next(iter(change))):
            build(other)
