import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantization.test_quantizer import NORMALISE, images, own
from vggbatch.quantization.arithmetic import int8_share, multiply_adds
from vggbatch.quantization.quantizer import Quantizer


def test_a_vggs_are_those_of_its_layers(tmp_path):
    _, model = own("vgg16-12", tmp_path)
    (tmp_path / "work").mkdir()
    quantizer = Quantizer(model, images(4, 0), NORMALISE, tmp_path / "work")
    found = multiply_adds(quantizer.graph, "data", 32)
    weights = {t.name: t.dims for t in quantizer.graph.graph.initializer}
    side, layer = 32, 0
    for node in quantizer.graph.graph.node:
        if node.op_type == "MaxPool":
            side //= 2
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            spots = side * side if node.op_type == "Conv" else 1
            assert found[node.name] == spots * np.prod(weights[node.input[1]])
            layer += 1
    assert layer == len(found) == 16


@pytest.mark.parametrize("quant_format", ["qdq", "qoperator"])
def test_the_share_is_of_what_was_written(quant_format, tmp_path):
    _, model = own("vgg16-12", tmp_path)
    (tmp_path / "work").mkdir()
    quantizer = Quantizer(
        model, images(4, 0), NORMALISE, tmp_path / "work", quant_format=quant_format
    )
    layers = multiply_adds(quantizer.graph, "data", 32)
    total = sum(layers.values())
    for left in ([], quantizer.layers[3:5], quantizer.layers):
        quantizer.write(tmp_path / "int8.onnx", keep_float=left)
        in_float = [name for name in layers if name in left or name not in quantizer.layers]
        expected = 1 - sum(layers[name] for name in in_float) / total
        assert int8_share(onnx.load(tmp_path / "int8.onnx"), layers) == pytest.approx(expected)
    assert expected == 0


def test_grouped_strided_and_matrix_products():
    weights = {"w1": (8, 1, 3, 3), "w2": (8, 5), "w3": (5, 7)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "depthwise", group=8, strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"], "pool"),
        helper.make_node("Flatten", ["b"], ["c"], "flat"),
        helper.make_node("MatMul", ["c", "w2"], ["d"], "product"),
        helper.make_node("Gemm", ["d", "w3"], ["y"], "dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 7])],
        [numpy_helper.from_array(np.zeros(s, np.float32), name) for name, s in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    found = multiply_adds(model, "x", 9)
    assert found == {"depthwise": 4 * 4 * 8 * 9, "product": 40, "dense": 35}


def test_what_no_shape_says_is_not_counted():
    weight = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Cast", ["places"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["values", "w"], ["y"], "layer"),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph(nodes, "odd", ports, out, [weight]))
    assert multiply_adds(model, "x", 4) is None
