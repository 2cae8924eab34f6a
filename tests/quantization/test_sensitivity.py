import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggbatch.config import ModelOptions, Preprocess
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.resolve import resolve
from vggbatch.preprocess.transform import Normalizer
from vggbatch.quantization.quantizer import Quantizer
from vggbatch.quantization.sensitivity import Labeled, compare, layer_noise, leave_worst

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
    rng = np.random.default_rng(0)

    def weight(*shape):
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    first, second = weight(16, 3, 4, 4), weight(16, 16, 1, 1)
    first[3] *= 300
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
    folder = tmp_path_factory.mktemp("fragile")
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


@pytest.fixture
def labeled(fragile):
    """Labels that the fp32 network gives, so that it is right on all of them."""
    crops = images(200, 1)
    scores = onnxruntime.InferenceSession(fragile).run(None, {"data": NORMALISE(crops)})[0]
    return Labeled(crops, scores.argmax(1).astype(np.int32))


def test_the_layers_that_are_made_to_hurt_are_the_worst(quantizer, tmp_path):
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    assert {noise[0].layer, noise[1].layer} == {"first", "second"}
    assert noise[2].layer == "third"
    assert noise[2].decibels - noise[1].decibels > 10


def test_layers_are_left_until_the_accuracy_is_near_enough(quantizer, labeled, tmp_path):
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    measured = compare(quantizer, target, labeled, quiet)
    exact, int8 = measured
    assert exact.top1 == 100
    assert int8.top1 < 90
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    near = 100 - int8.top1
    assert leave_worst(quantizer, target, labeled, measured, noise, near, quiet) == []
    steps = leave_worst(quantizer, target, labeled, measured, noise, 3, quiet)
    assert steps[-1].top1 >= 97
    assert set(steps[-1].left_float) == {"first", "second"}
    assert all(step.rate > 0 for step in steps)
    scores = open_network(target).run(None, {"data": NORMALISE(labeled.crops)})[0]
    assert (scores.argmax(1) == labeled.labels).sum() == steps[-1].correct


def test_no_drop_at_all_ends_with_fp32(quantizer, labeled, tmp_path):
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    measured = compare(quantizer, target, labeled, quiet)
    noise = layer_noise(quantizer, images(4, 2), tmp_path, quiet)
    steps = leave_worst(quantizer, target, labeled, measured, noise, 0, quiet)
    assert steps[-1].top1 == 100
    assert [len(step.left_float) for step in steps] == list(range(1, len(steps) + 1))
