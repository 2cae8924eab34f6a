"""Sums of integers are exact on every processor, or the network is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import SessionOptions

from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import UsageError
from vggbatch.exact_int8 import open_exactly, saturates
from vggbatch.models.graphs.runtime import open_network, write_optimized
from vggbatch.models.graphs.saturation import inexact_products
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve

DEPTH, WIDTH, SIDE = 64, 16, 8
TYPES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}


def large(kind, shape, seed=0):
    """Values whose products exceed 16 bits after two of them."""
    rng = np.random.default_rng(seed)
    if kind is np.uint8:
        return rng.integers(200, 256, shape).astype(kind)
    return (rng.integers(100, 128, shape) * rng.choice([-1, 1], (1, shape[-1]))).astype(kind)


def network(nodes, inputs, outputs, constants):
    values = [
        [helper.make_tensor_value_info(name, *described) for name, described in part.items()]
        for part in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "net", *values, tensors)
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains)
    model.ir_version = 7
    return model


def product(operator, first, second):
    """A product of large values by one operator; what it gives, and what is right."""
    x, w = large(first, (3, DEPTH)), large(second, (DEPTH, WIDTH), 1)
    exact = x.astype(np.int64) @ w.astype(np.int64)
    scale = np.float32(np.abs(exact).max() / 100)
    constants = {"w": w, "one": np.float32(1), "xz": first(0), "wz": second(0)}
    constants |= {"scale": scale, "yz": first(128 if first is np.uint8 else 0)}
    if operator == "MatMulInteger":
        nodes = [helper.make_node(operator, ["x", "w", "xz", "wz"], ["y"])]
        kind, right = TensorProto.INT32, exact
    else:
        kind = TYPES[first]
        limits = np.iinfo(first)
        right = np.clip(np.rint(exact / scale) + constants["yz"], limits.min, limits.max)
        names = ["x", "one", "xz", "w", "one", "wz"]
        if operator == "QLinearMatMul":
            nodes = [helper.make_node(operator, [*names, "scale", "yz"], ["y"])]
        elif operator == "QGemm":
            names = [*names, "", "scale", "yz"]
            nodes = [helper.make_node(operator, names, ["y"], domain="com.microsoft")]
        else:
            nodes = [
                helper.make_node("DequantizeLinear", names[:3], ["xf"]),
                helper.make_node("DequantizeLinear", names[3:], ["wf"]),
                helper.make_node("MatMul", ["xf", "wf"], ["yf"]),
                helper.make_node("QuantizeLinear", ["yf", "scale", "yz"], ["y"]),
            ]
    inputs, outputs = {"x": (TYPES[first], x.shape)}, {"y": (kind, None)}
    (found,) = open_network(
        network(nodes, inputs, outputs, constants).SerializeToString(), threads=1
    ).run(None, {"x": x})
    return found, right


@pytest.mark.parametrize(
    ("first", "second"), [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)]
)
@pytest.mark.parametrize("operator", ["MatMulInteger", "QLinearMatMul", "QGemm", "MatMul"])
def test_products_are_exact(operator, first, second):
    found, right = product(operator, first, second)
    np.testing.assert_array_equal(found, right)


def test_what_onnxruntime_makes_precise_is_exact_here():
    assert not saturates(precise=True)


def test_weights_stay_int8_where_their_sums_are_exact(tmp_path):
    model, _ = classifier()
    onnx.save(model, tmp_path / "net.onnx")
    write_optimized(tmp_path / "net.onnx", tmp_path / "opened.onnx")
    opened = onnx.load(tmp_path / "opened.onnx").graph
    types = {tensor.name: tensor.data_type for tensor in opened.initializer}
    kernels = [types[node.input[3]] for node in opened.node if node.op_type == "QLinearConv"]
    assert kernels == [TensorProto.UINT8 if saturates() else TensorProto.INT8] * 2


def test_a_damaged_network_is_not_laid_to_the_processor(caplog):
    with pytest.raises(Exception, match=r"INVALID_PROTOBUF|No graph was found|ModelProto"):
        open_exactly(b"no network", SessionOptions())
    assert not caplog.records or saturates()


def classifier(kind=np.uint8, *, shared=False, constant=True):
    """Two layers in int8 on an image; large values, so that sums of 16 bits are far off."""
    rng = np.random.default_rng(3)
    kernels = [
        rng.integers(-127, 128, shape).astype(np.int8) for shape in ((12, 3, 3, 3), (5, 12, 1, 1))
    ]
    zero = kind(128 if kind is np.uint8 else 0)
    names = ["wz", "wz"] if shared else ["wz0", "wz1"]
    constants = {"in": np.float32(0.02), "zero": zero, "one": np.float32(0.01)}
    constants |= dict.fromkeys(names, np.int8(0)) | {"mid": np.float32(0.2), "out": np.float32(1)}
    constants |= {"k0": kernels[0], "shift": np.array([1, 1, 1, 1], np.int64)}
    nodes = [helper.make_node("QuantizeLinear", ["image", "in", "zero"], ["q"])]
    if constant:
        constants["k1"] = kernels[1]
    else:
        # made of the image, so that no optimizer can fold it
        constants["k1_fixed"] = kernels[1].astype(np.float32)
        constants |= {"axes": np.array([0, 1, 2, 3], np.int64), "unit": np.float32(1)}
        nodes += [
            helper.make_node("ReduceMax", ["image"], ["top"], keepdims=1),
            helper.make_node("Mul", ["top", "nothing"], ["none"]),
            helper.make_node("Add", ["k1_fixed", "none"], ["k1_float"]),
            helper.make_node("QuantizeLinear", ["k1_float", "unit", names[1]], ["k1"]),
        ]
        constants["nothing"] = np.float32(0)
    first = ["q", "in", "zero", "k0", "one", names[0], "mid", "zero"]
    second = ["m", "mid", "zero", "k1", "one", names[1], "out", "zero"]
    nodes += [
        helper.make_node("QLinearConv", first, ["m"]),
        helper.make_node("QLinearConv", second, ["n"]),
        helper.make_node("DequantizeLinear", ["n", "out", "zero"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    inputs = {"image": (TensorProto.FLOAT, ["N", 3, SIDE, SIDE])}
    outputs = {"scores": (TensorProto.FLOAT, ["N", 5])}
    return network(nodes, inputs, outputs, constants), kernels


def by_hand(images, kernels, kind):
    zero, limits = (128 if kind is np.uint8 else 0), np.iinfo(kind)

    def quantized(values):
        return np.clip(np.rint(values) + zero, limits.min, limits.max).astype(np.int64) - zero

    values = quantized(images / np.float32(0.02))
    for kernel, scale in zip(kernels, (0.02 * 0.01 / 0.2, 0.2 * 0.01 / 1), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(values, kernel.shape[2:], axis=(2, 3))
        sums = np.einsum("nchwij,ocij->nohw", windows, kernel.astype(np.int64))
        values = quantized(sums * scale)
    return values.mean(axis=(2, 3))


def prepared(model, tmp_path):
    file, classes = tmp_path / "net.onnx", tmp_path / "classes.txt"
    onnx.save(model, file)
    classes.write_text("".join(f"class {number}\n" for number in range(5)))
    crop = Preprocess(resize=SIDE, crop=SIDE)
    options = ModelOptions(name=str(file), classes=str(classes), output="logits", preprocess=crop)
    return prepare(resolve(options), cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize(("kind", "shared"), [(np.uint8, False), (np.uint8, True), (np.int8, True)])
def test_a_prepared_network_is_exact(kind, shared, tmp_path):
    model, kernels = classifier(kind, shared=shared)
    file = prepared(model, tmp_path)
    images = np.random.default_rng(5).uniform(-2.5, 2.5, (6, 3, SIDE, SIDE)).astype(np.float32)
    session = open_network(file.path, optimize=not file.optimized)
    (found,) = session.run([file.outputs[0]], {file.input: images})
    # a value between two integers may be rounded to either
    np.testing.assert_allclose(found, by_hand(images, kernels, kind), atol=0.1)
    assert np.ptp(found, axis=0).min() > 1


def test_products_that_cannot_be_made_exact_are_refused(tmp_path):
    model, _ = classifier(constant=False)
    if saturates():
        with pytest.raises(UsageError, match="sums this processor, which has no VNNI, cuts off"):
            prepared(model, tmp_path)
    else:
        assert prepared(model, tmp_path).quantized


def test_products_are_found_by_their_types():
    model, _ = classifier()
    assert len(inexact_products(model)) == 2
    assert inexact_products(classifier(np.int8)[0]) == []


@pytest.mark.parametrize(("largest", "exact"), [(64, True), (65, False), (-64, True), (-65, False)])
def test_weights_of_seven_bits_are_exact(largest, exact):
    weights = np.zeros((DEPTH, WIDTH), np.int8)
    weights[:2] = largest
    names = ["x", "one", "xz", "w", "one", "wz", "scale", "yz"]
    constants = {"w": weights, "one": np.float32(1), "xz": np.uint8(0), "wz": np.int8(0)}
    constants |= {"scale": np.float32(200), "yz": np.uint8(128)}
    node = helper.make_node("QLinearMatMul", names, ["y"])
    model = network(
        [node],
        {"x": (TensorProto.UINT8, ["N", DEPTH])},
        {"y": (TensorProto.UINT8, ["N", WIDTH])},
        constants,
    )
    assert (inexact_products(model) == []) == exact
    image = np.full((1, DEPTH), 255, np.uint8)
    right = np.clip(np.rint(image.astype(int) @ weights / 200) + 128, 0, 255)
    found = open_network(model.SerializeToString(), optimize=not exact).run(None, {"x": image})[0]
    np.testing.assert_array_equal(found, right)
