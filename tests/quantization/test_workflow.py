"""Quantizing as users do it: images and labels in, a described network out."""

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tests.quantization.test_sensitivity import fragile  # noqa: F401 (a fixture)
from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.resolve import resolve
from vggbatch.preprocess.transform import Normalizer, center_crop
from vggbatch.quantization.workflow import quantize_model

PROFILE = Preprocess(resize=32, crop=32)


@pytest.fixture
def net(fragile):  # noqa: F811
    return resolve(ModelOptions(name=str(fragile)))


@pytest.fixture
def labeled(net, tmp_path):
    """A folder of images and what the fp32 network says of them."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(net.uri)
    lines = ["file,class_index"]
    for i in range(60):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        crop = center_crop(Image.fromarray(pixels), PROFILE)[None]
        scores = session.run(None, {"data": Normalizer(PROFILE)(crop)})[0]
        lines.append(f"{i:02}.png,{scores.argmax()}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder, str(tmp_path / "labels.csv")


def test_the_drop_is_kept_on_images_that_were_held_out(net, labeled, tmp_path):
    folder, labels = labeled
    target = tmp_path / "out/int8.onnx"
    done = quantize_model(net, [str(folder)], str(target), images=20, labels=labels, max_drop=5.0)
    assert (done.calibrated, done.held_out, done.failed) == (20, True, 0)
    exact, int8, *steps = done.measured
    assert (exact.images, exact.top1) == (40, 100)
    assert int8.top1 < 95
    assert set(steps[-1].left_float) == {"first", "second"}
    assert steps[-1].top1 >= 95
    described = resolve(ModelOptions(name=str(target)))
    assert (described.preprocess, described.classes) == (PROFILE, net.classes)
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert "DequantizeLinear" in kinds


def test_too_few_images_are_measured_on_all_and_said_so(net, labeled, tmp_path):
    folder, labels = labeled
    done = quantize_model(net, [str(folder)], str(tmp_path / "int8.onnx"), images=40, labels=labels)
    assert not done.held_out
    assert [measured.images for measured in done.measured] == [60, 60]


def test_a_bucket_takes_the_result_and_gives_the_images(net, labeled, tmp_path, s3_server):
    import s3fs

    store = s3fs.S3FileSystem()
    store.put(str(labeled[0]), "quantization/images", recursive=True)
    output = "s3://quantization/nets/int8.onnx"
    quantize_model(net, ["s3://quantization/images"], output, images=8)
    found = resolve(ModelOptions(name=output), cache_dir=str(tmp_path / "cache"))
    assert (found.preprocess, found.classes) == (PROFILE, net.classes)
    assert found.files[0].name == "int8.onnx"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": 1.0}, "--labels"),
        ({"output": "int8"}, r"must end in \.onnx"),
        ({"labels": "none.csv"}, "no such file"),
        ({"labels": "empty.csv"}, "has no label for any of 20 images"),
    ],
)
def test_wrong_usage_is_one_line(net, labeled, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("file,class_index\nother.png,3\n")
    given = {"output": "int8.onnx", **options}
    output = given.pop("output")
    with pytest.raises(UsageError, match=message) as error:
        quantize_model(net, [str(labeled[0] / "[01]*")], output, images=8, **given)
    assert "\n" not in str(error.value)
