import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggbatch.config import ModelOptions, Preprocess
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.resolve import resolve
from vggbatch.preprocess.transform import Normalizer
from vggbatch.quantization.quantizer import Quantizer
from vggbatch.quantization.sampling import Images
from vggbatch.quantization.sensitivity import layer_noise, leave_worst

NORMALISE = Normalizer(Preprocess(resize=32, crop=32))
CLASSES = 40


def quiet(step):
    pass


def images(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    """A network of which int8 ruins what lies between the first layer and the second: one channel
    is 300 times as large as the others, and counts for nothing."""
    return four_layers(tmp_path_factory.mktemp("fragile"), 300)


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory):
    """The same network without that channel: int8 only rounds."""
    return four_layers(tmp_path_factory.mktemp("sturdy"), 1)


def four_layers(folder, outlier):
    """Three convolutions and a dense layer, with the channel so many times as large."""
    rng = np.random.default_rng(0)

    def weight(*shape):
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    first, second = weight(16, 3, 4, 4), weight(16, 16, 1, 1)
    first[3] *= outlier
    second[:, 3] = 0
    constants = {"w1": first, "w2": second, "w3": weight(16, 16, 1, 1)}
    constants["w4"] = weight(CLASSES, 16 * 64)
    nodes = [
        helper.make_node("Conv", ["data", "w1"], ["a"], "first", strides=[4, 4]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], "second"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"], "third"),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "w4"], ["scores"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fragile",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    names = "".join(f"n{i:08} thing\n" for i in range(CLASSES))
    (folder / "names.txt").write_text(names)
    (folder / "net.yaml").write_text("classes: names.txt\npreprocess: {resize: 32, crop: 32}\n")
    return folder / "net.onnx"


@pytest.fixture
def quantizer(fragile, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    return Quantizer(resolve(ModelOptions(name=str(fragile))), images(20, 0), NORMALISE, work)


def scores_of(path, crops):
    return open_network(path).run(None, {"data": NORMALISE(crops)})[0]


@pytest.fixture
def choosing(fragile):
    """Labels that the fp32 network gives, so that it is right on all of them."""
    crops = images(200, 1)
    return Images(crops, scores_of(fragile, crops).argmax(1).astype(np.int32))


def test_the_layers_that_are_made_to_hurt_are_the_worst(quantizer, tmp_path):
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    assert {noise[0].layer, noise[1].layer} == {"first", "second"}
    assert noise[2].layer == "third"
    assert noise[2].decibels - noise[1].decibels > 10


def test_layers_are_left_until_the_accuracy_is_near_enough(quantizer, choosing, tmp_path):
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    [whole] = leave_worst(quantizer, target, choosing, noise, 99, quiet)
    assert (whole.left_float, whole.against.original_top1) == ((), 100)
    assert whole.against.quantized_top1 < 90
    steps = leave_worst(quantizer, target, choosing, noise, 3, quiet)
    assert [len(step.left_float) for step in steps] == list(range(len(steps)))
    assert steps[-1].against.difference <= 3
    assert set(steps[-1].left_float) == {"first", "second"}
    right = scores_of(target, choosing.crops).argmax(1) == choosing.labels
    assert steps[-1].against.quantized_top1 == pytest.approx(100 * right.mean())
    assert steps[-1].against.only_original == (~right).sum()


def test_no_layer_is_left_in_fp32_to_chase_noise(fragile, quantizer, tmp_path):
    """Both networks are right about as often, each on images of its own: what lies between is
    chance, however small the limit."""
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    crops = images(200, 3)
    exact, int8 = (scores_of(path, crops).argmax(1) for path in (fragile, target))
    parted = np.flatnonzero(exact != int8)
    labels = exact.copy()
    ours = parted[: len(parted) // 2 - 2]
    labels[ours] = int8[ours]
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    choosing = Images(crops, labels.astype(np.int32))
    [whole] = leave_worst(quantizer, target, choosing, noise, 0.5, quiet)
    assert whole.against.difference >= 2 > 0.5
    assert whole.against.only_quantized == len(ours) > 8
    assert whole.against.mid_p_value > 0.05


def test_a_drop_that_is_all_layers_ends_with_fp32(quantizer, choosing, tmp_path):
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    # the layers that hurt come last
    steps = leave_worst(quantizer, target, choosing, noise[::-1], 0.5, quiet)
    assert steps[-1].left_float == tuple(layer.layer for layer in noise[::-1])
    assert steps[-1].against.difference == 0
