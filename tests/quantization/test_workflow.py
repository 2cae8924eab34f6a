"""Quantizing as users do it: images and labels in, a described network and its record out."""

import hashlib
import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.quantization.test_sensitivity import fragile, sturdy  # noqa: F401 (fixtures)
from vggbatch.config import ModelOptions, Preprocess, Selection
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.labels import load_labels
from vggbatch.models.resolve import resolve
from vggbatch.preprocess.transform import Normalizer, center_crop
from vggbatch.quantization import workflow
from vggbatch.quantization.parts import divide
from vggbatch.quantization.sampling import ImagePool
from vggbatch.quantization.workflow import quantize_model

PROFILE = Preprocess(resize=32, crop=32)
COUNT = 420
SLOW = pytest.mark.slow


@pytest.fixture
def net(fragile):  # noqa: F811
    return resolve(ModelOptions(name=str(fragile)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images."""
    folder = tmp_path_factory.mktemp("quantize") / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return folder


def crops_of(folder):
    files = sorted(folder.iterdir())
    return np.stack([center_crop(Image.open(file), PROFILE) for file in files])


def classes_of(path, folder):
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"data": Normalizer(PROFILE)(crops_of(folder))})[0].argmax(1)


def write_labels(file, classes):
    lines = [f"{i:03}.png,{label}" for i, label in enumerate(classes)]
    file.write_text("\n".join(["file,class_index", *lines]) + "\n")
    return str(file)


@pytest.fixture
def labels(net, folder, tmp_path):
    """What the fp32 network says of the images."""
    return write_labels(tmp_path / "labels.csv", classes_of(net.uri, folder))


def test_a_real_drop_is_found_and_reported_on_other_images(net, folder, labels, tmp_path):
    target = tmp_path / "out/int8.onnx"
    done = quantize_model(net, [str(folder)], str(target), images=20, labels=labels, max_drop=5.0)
    assert (done.calibrated, done.chosen_on, done.reported_on) == (20, 200, 200)
    assert (done.failed, done.repeated) == (0, 0)
    assert done.steps[0].against.difference > 10
    assert done.steps[0].against.mid_p_value < 1e-6
    assert set(done.left_float) == set(done.steps[-1].left_float) == {"first", "second"}
    exact, int8, written = done.measured
    assert (exact.top1, exact.against) == (100, None)
    assert int8.against.ci_low > 5
    assert written.against.ci_high < 5
    assert done.limit.shown == "within"
    # the third convolution alone is left of the three: 16 x 16 x 64 products
    first, others, last = 16 * 48 * 64, 16 * 16 * 64, 40 * 16 * 64
    assert written.int8_share == pytest.approx(others / (first + 2 * others + last))
    assert done.hardly_int8
    assert not done.at_chance
    described = resolve(ModelOptions(name=str(target)))
    assert (described.preprocess, described.classes) == (PROFILE, net.classes)
    record = json.loads(target.with_name("int8.quantized.json").read_text())
    assert record["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert record["original"]["sha256"] == net.sha256
    assert record["measured"][2]["against"]["only_original"] == written.against.only_original
    assert record["limit"] == {"max_drop": 5.0, "shown": "within"} | {
        "images_needed": done.limit.images_needed
    }
    assert (record["chosen_on"], record["reported_on"]) == (200, 200)


@SLOW
def test_the_record_is_what_the_written_network_does(net, folder, labels, tmp_path):
    target = tmp_path / "int8.onnx"
    done = quantize_model(net, [str(folder)], str(target), images=20, labels=labels, max_drop=5.0)
    # all images: those that report are among them
    right = classes_of(target, folder) == classes_of(net.uri, folder)
    wrong = done.steps[-1].against.only_original + done.measured[-1].against.only_original
    assert wrong <= (~right).sum() <= wrong + 20


@SLOW
def test_the_same_command_divides_the_images_in_the_same_way(net, folder, labels, tmp_path):
    found = [
        quantize_model(
            net, [str(folder)], str(tmp_path / "int8.onnx"), images=9, labels=labels, max_drop=20
        )
        for _ in range(2)
    ]
    assert found[0].steps == found[1].steps
    assert found[0].measured[-1].against == found[1].measured[-1].against


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=SLOW) for n in range(1, 10))])
def test_no_layer_stays_in_fp32_where_int8_only_rounds(sturdy, folder, tmp_path, seed):  # noqa: F811
    """Labels at random: whatever lies between the two networks is chance."""
    net = resolve(ModelOptions(name=str(sturdy)))
    classes = np.random.default_rng(seed).integers(0, 40, COUNT)
    labels = write_labels(tmp_path / "labels.csv", classes)
    target = str(tmp_path / "int8.onnx")
    done = quantize_model(net, [str(folder)], target, images=20, labels=labels, max_drop=2)
    assert done.left_float == ()
    assert len(done.steps) == 1
    assert len(done.measured) == 2
    assert done.limit.shown != "beyond"
    assert not done.hardly_int8
    assert done.at_chance


def test_a_limit_that_cannot_be_resolved_is_refused_at_once(
    net, folder, labels, tmp_path, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("nothing is to be calibrated")

    monkeypatch.setattr(workflow, "Quantizer", never)
    with pytest.raises(UsageError) as error:
        quantize_model(
            net,
            [str(folder)],
            str(tmp_path / "int8.onnx"),
            images=50,
            labels=labels,
            max_drop=0.2,
            wanted=Selection(limit=230),
        )
    assert str(error.value) == (
        "--max-drop 0.2 cannot be shown on 180 labeled images beside the 50 to calibrate on: it "
        "takes 3,834, 1,917 that choose layers and 1,917 others that report, even if int8 and fp32 "
        "are right on the same ones; give more, or name 4.1 points or more"
    )
    assert not (tmp_path / "int8.onnx").exists()


def test_the_limit_that_is_named_instead_is_accepted(net, folder, labels, tmp_path):
    few = Selection(limit=230)
    target = str(tmp_path / "int8.onnx")
    given = {"images": 50, "labels": labels, "wanted": few}
    with pytest.raises(UsageError, match=r"name 4\.1 points"):
        quantize_model(net, [str(folder)], target, max_drop=4.0, **given)
    done = quantize_model(net, [str(folder)], target, max_drop=4.1, **given)
    assert (done.chosen_on, done.reported_on) == (90, 90)


def test_copies_of_images_do_not_count(net, folder, labels, tmp_path):
    """A hundred names of two images are two images."""
    copies = tmp_path / "copies"
    copies.mkdir()
    lines = ["file,class_index"]
    for i in range(100):
        (copies / f"{i:03}.png").write_bytes((folder / f"{i % 2:03}.png").read_bytes())
        lines.append(f"{i:03}.png,1")
    (tmp_path / "copies.csv").write_text("\n".join(lines) + "\n")
    given = {"images": 1, "labels": str(tmp_path / "copies.csv"), "max_drop": 20}
    with pytest.raises(UsageError, match="on 2 labeled images that can be read and differ"):
        quantize_model(net, [str(copies)], str(tmp_path / "int8.onnx"), **given)


def test_a_drop_that_only_those_that_report_show_is_an_error(net, folder, labels, tmp_path):
    """Those that choose layers have labels that both networks miss."""
    classes = classes_of(net.uri, folder)
    pool = ImagePool([str(folder)], PROFILE, load_labels(labels, net.classes))
    chosen = {crop.tobytes() for crop, _ in pool.read(divide(pool, 20, labels, 5.0).choosing)}
    for number, crop in enumerate(crops_of(folder)):
        if crop.tobytes() in chosen:
            classes[number] = (classes[number] + 20) % 40
    wrong = write_labels(tmp_path / "wrong.csv", classes)
    with pytest.raises(VggbatchError, match=r"on 200 other images, more than --max-drop 5"):
        quantize_model(
            net, [str(folder)], str(tmp_path / "x.onnx"), images=20, labels=wrong, max_drop=5.0
        )
    assert not (tmp_path / "x.onnx").exists()


def test_without_a_limit_other_images_report(net, folder, labels, tmp_path):
    done = quantize_model(
        net, [str(folder)], str(tmp_path / "int8.onnx"), images=400, labels=labels
    )
    assert (done.calibrated, done.chosen_on, done.reported_on) == (400, 0, 20)
    assert (done.steps, done.limit, done.left_float) == ([], None, ())
    exact, int8 = done.measured
    assert exact.top1 == 100
    assert int8.against.images == 20
    with pytest.raises(UsageError, match="all labeled images are among the 420 to calibrate on"):
        quantize_model(net, [str(folder)], str(tmp_path / "x.onnx"), images=420, labels=labels)


def test_a_bucket_takes_the_result_and_gives_the_images(net, folder, tmp_path, s3_server):
    import s3fs

    store = s3fs.S3FileSystem()
    for file in sorted(folder.iterdir())[:8]:
        store.put(str(file), f"quantization/images/{file.name}")
    output = "s3://quantization/nets/int8.onnx"
    quantize_model(net, ["s3://quantization/images"], output, images=8)
    found = resolve(ModelOptions(name=output), cache_dir=str(tmp_path / "cache"))
    assert (found.preprocess, found.classes) == (PROFILE, net.classes)
    assert found.files[0].name == "int8.onnx"
    assert store.exists("quantization/nets/int8.quantized.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": 1.0}, "--labels"),
        ({"max_drop": 0.0, "labels": "x.csv"}, "no number of images shows"),
        ({"max_drop": float("nan"), "labels": "x.csv"}, "no number of images shows"),
        ({"max_drop": 1e-320, "labels": "x.csv"}, "no number of images shows"),
        ({"max_drop": 100.1, "labels": "x.csv"}, "from 0.0001 to 100"),
        ({"output": "int8"}, r"must end in \.onnx"),
        ({"labels": "none.csv"}, "no such file"),
        ({"labels": "empty.csv"}, "has no label for any of 200 images"),
    ],
)
def test_wrong_usage_is_one_line(net, folder, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("file,class_index\nother.png,3\n")
    given = {"output": "int8.onnx", **options}
    output = given.pop("output")
    with pytest.raises(UsageError, match=message) as error:
        quantize_model(net, [str(folder / "[01]*")], output, images=8, **given)
    assert "\n" not in str(error.value)


def test_none_that_can_be_read_is_one_line(net, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="none of the 1 images tried"):
        quantize_model(net, [str(tmp_path / "a.png")], str(tmp_path / "x.onnx"), images=8)


def test_the_original_is_not_written_over(net, folder, tmp_path):
    (tmp_path / "link.onnx").symlink_to(net.uri)
    for output in (net.uri, str(tmp_path / "link.onnx")):
        with pytest.raises(UsageError, match="is the network itself"):
            quantize_model(net, [str(folder)], output, images=8)
