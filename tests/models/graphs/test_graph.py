import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models import numpy_onnx
from vggbatch.errors import UsageError
from vggbatch.models.catalog import catalog
from vggbatch.models.graphs.graph import make_batchable, operators, opset, sort_nodes
from vggbatch.models.graphs.ports import read_ports
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.synthesis import synthesize

onnxruntime.set_default_logger_severity(3)
RNG = np.random.default_rng(0)


def run(model, images, name=None):
    session = open_network(model.SerializeToString())
    return session.run(name and [name], {session.get_inputs()[0].name: images})


def noise(count, size=32, scale=1.0):
    return RNG.standard_normal((count, 3, size, size)).astype(np.float32) * np.float32(scale)


@pytest.mark.parametrize("name", catalog())
def test_batch_equals_the_original_one_by_one(name):
    original = synthesize(name, shrink=16, size=32, classes=50)
    images = noise(3, scale=64 if "caffe2" in name else 1)
    expected = np.concatenate([numpy_onnx.run(original, image[None]) for image in images])
    model = synthesize(name, shrink=16, size=32, classes=50)
    outputs = make_batchable(model, input_name=catalog()[name].input or "data_0")
    onnx.checker.check_model(model)
    assert opset(model) == max(7, catalog()[name].opset)
    assert "Dropout" not in operators(model)
    (found,) = run(model, images)
    tolerance = 0.3 if catalog()[name].quantized else 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerance)
    assert outputs == (original.graph.output[0].name,)
    if opset(original) >= 7:
        each = np.concatenate([run(original, image[None])[0] for image in images])
        np.testing.assert_allclose(found, each, rtol=1e-5, atol=1e-6)
        assert (each != each[0]).any()


@pytest.mark.parametrize("name", catalog())
def test_features_are_the_last_dense_layers_input(name):
    original = synthesize(name, shrink=16, size=32, classes=50)
    images = noise(2, scale=64 if "caffe2" in name else 1)
    dense = next(n for n in reversed(original.graph.node) if "Gemm" in n.op_type)
    expected = np.concatenate(
        [numpy_onnx.run(original, image[None], dense.input[0]) for image in images]
    )
    if dense.op_type == "QGemm":
        constants = {t.name: numpy_helper.to_array(t) for t in original.graph.initializer}
        scale, zero = (constants[name] for name in dense.input[1:3])
        expected = (expected.astype(np.float32) - zero) * scale
    outputs = make_batchable(original, input_name=catalog()[name].input or "data_0", features=True)
    scores, features = run(original, images)
    assert len(outputs) == 2
    assert features.shape == (2, 4096 // 16)
    assert features.dtype == np.float32
    tolerance = 0.3 if catalog()[name].quantized else 1e-5
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=tolerance)
    assert scores.shape == (2, 50)


def test_the_zoos_real_graph_with_thin_weights(thin_vgg19):
    images = noise(3)
    expected = np.concatenate([numpy_onnx.run(thin_vgg19, image[None]) for image in images])
    assert np.abs(expected[0] - expected[1]).max() > 1e-4
    outputs = make_batchable(thin_vgg19, input_name="data_0", features=True)
    assert outputs == ("prob_1", "r43")
    scores, features = run(thin_vgg19, images)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-7)
    assert features.shape == (3, 256)
    assert "Dropout" not in operators(thin_vgg19)


def test_ports_of_a_zoo_file():
    ports = read_ports(synthesize("vgg19-caffe2-9", shrink=32, size=64))
    assert ports.input == "data_0"
    assert ports.input_shape == (1, 3, 64, 64)
    assert (ports.outputs, ports.layout, ports.batch) == (("prob_1",), "NCHW", 1)
    assert ports.size("NCHW") == (64, 64)


def classifier(*nodes, inputs=("x",), initializers=(), shape=("N", 3, 4, 4), opset_version=13):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(shape)) for n in inputs]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", values, [output], list(initializers))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset_version)], ir_version=8
    )


def test_several_inputs_need_a_name():
    add = helper.make_node("Add", ["x", "y"], ["z"])
    model = classifier(add, inputs=("x", "y"))
    with pytest.raises(UsageError, match=r"2 inputs \('x' float .*\); name the image's"):
        read_ports(model)
    with pytest.raises(UsageError, match="more than the image 'y'"):
        read_ports(model, "y")
    with pytest.raises(UsageError, match="no input 'q'; it has x, y"):
        read_ports(model, "q")


def test_an_input_that_is_no_image_is_refused():
    model = classifier(helper.make_node("Relu", ["x"], ["y"]), shape=("N", 10))
    with pytest.raises(UsageError, match="takes float"):
        read_ports(model)


@pytest.mark.parametrize("shape", [[1, -1], [1, 48], [1, 3, -1], [1, 3, 16]])
def test_reshape_is_freed(shape):
    constant = numpy_helper.from_array(np.array(shape, np.int64), "s")
    for initializers, before in [
        ([constant], []),
        ([], [helper.make_node("Constant", [], ["s"], value=constant)]),
    ]:
        model = classifier(
            *before,
            helper.make_node("Reshape", ["x", "s"], ["y"]),
            initializers=initializers,
            shape=(1, 3, 4, 4),
        )
        make_batchable(model, input_name="x")
        images = noise(5, size=4)
        (found,) = run(model, images)
        np.testing.assert_array_equal(found, images.reshape(5, *found.shape[1:]))


def test_mxnets_spatial_zero_batch_norm_runs():
    parameters = [
        numpy_helper.from_array(np.array(v, np.float32), n)
        for n, v in [("g", [1, 2, 3]), ("b", [0, 1, 2]), ("m", [1, 0, 1]), ("v", [1, 4, 9])]
    ]
    node = helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"], spatial=0)
    model = classifier(node, initializers=parameters, shape=(1, 3, 4, 4), opset_version=7)
    images = noise(2, size=4)
    expected = numpy_onnx.run(model, images)
    make_batchable(model, input_name="x")
    np.testing.assert_allclose(run(model, images)[0], expected, atol=1e-5)


def test_nodes_in_any_order_keep_what_they_compute():
    net = synthesize("vgg16-bn-7", shrink=32, size=32)
    images = noise(1)
    (expected,) = run(net, images)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in net.graph.node]
    del net.graph.node[:]
    net.graph.node.extend(reversed(nodes))
    make_batchable(net, input_name="data")
    onnx.checker.check_model(net)
    np.testing.assert_allclose(run(net, images)[0], expected, rtol=1e-4)


def test_what_a_branch_takes_from_outside_comes_before_it():
    def branch(name):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Neg", ["r"], [name])], name, [], [value])

    model = classifier(
        helper.make_node("If", ["c"], ["y"], then_branch=branch("t"), else_branch=branch("e")),
        helper.make_node("Relu", ["x"], ["r"]),
        initializers=[numpy_helper.from_array(np.array(True), "c")],
    )
    sort_nodes(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Relu", "If"]


def test_a_circle_of_nodes_is_refused():
    model = classifier(
        helper.make_node("Add", ["x", "z"], ["y"]), helper.make_node("Relu", ["y"], ["z"])
    )
    with pytest.raises(UsageError, match="depends on itself"):
        make_batchable(model, input_name="x")


def test_unknown_old_operator_is_refused():
    node = helper.make_node("Upsample", ["x"], ["y"], scales=[1.0])
    model = classifier(node, opset_version=6)
    with pytest.raises(UsageError, match="operator Upsample of opset 6"):
        make_batchable(model, input_name="x")


def test_training_dropout_is_refused():
    model = classifier(
        helper.make_node("Dropout", ["x", "", "t"], ["y"]),
        helper.make_node("Relu", ["y"], ["z"]),
        initializers=[numpy_helper.from_array(np.array(True), "t")],
    )
    with pytest.raises(UsageError, match="training mode"):
        make_batchable(model, input_name="x")


def pointwise(*before, kernel=1, after=()):
    """Nodes, a convolution of 2 x 5 channels as the layer of the classes, and more nodes."""
    weight = np.arange(10 * kernel**2, dtype=np.float32).reshape(2, 5, kernel, kernel)
    source = before[-1].output[0] if before else "x"
    last = helper.make_node("Conv", [source, "w"], ["c"])
    return classifier(
        *before,
        last,
        *(after or [helper.make_node("Flatten", ["c"], ["y"])]),
        initializers=[numpy_helper.from_array(weight, "w")],
        shape=("N", 5, 4, 4),
    )


IMAGES = np.random.default_rng(0).random((3, 5, 4, 4), dtype=np.float32)


def test_features_of_a_convolution_that_gives_the_classes():
    """As MobileNet has it: after the pooling, there is one position."""
    pooled = helper.make_node("GlobalAveragePool", ["x"], ["p"])
    model = pointwise(pooled)
    make_batchable(model, input_name="x", features=True)
    scores, features = run(model, IMAGES)
    np.testing.assert_allclose(features, IMAGES.mean(axis=(2, 3)), rtol=1e-6)
    weight = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_allclose(scores, features @ weight.T, rtol=1e-5)


def test_features_before_the_pooling_are_averaged():
    """As SqueezeNet has it."""
    after = [
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    model = pointwise(after=after)
    make_batchable(model, input_name="x", features=True)
    np.testing.assert_allclose(run(model, IMAGES)[1], IMAGES.mean(axis=(2, 3)), rtol=1e-6)


def test_features_of_a_tensor_that_is_named():
    pooled = helper.make_node("GlobalAveragePool", ["x"], ["p"])
    dropped = helper.make_node("Dropout", ["p"], ["d"])
    for name in ("p", "d"):
        model = pointwise(pooled, dropped)
        assert make_batchable(model, input_name="x", features=name) == ("y", "features_rows")
        features = run(model, IMAGES)[1]
        np.testing.assert_allclose(features, IMAGES.mean(axis=(2, 3)), rtol=1e-6)
    model = pointwise(helper.make_node("Relu", ["x"], ["m"]))
    make_batchable(model, input_name="x", features="m")
    np.testing.assert_array_equal(run(model, IMAGES)[1], IMAGES.reshape(3, -1))
    with pytest.raises(UsageError, match="no tensor 'z'"):
        make_batchable(pointwise(), input_name="x", features="z")


def test_features_need_a_layer_of_the_classes():
    for model in (classifier(helper.make_node("Relu", ["x"], ["y"])), pointwise(kernel=2)):
        with pytest.raises(UsageError, match="dense layer or a convolution of 1 x 1"):
            make_batchable(model, input_name="x", features=True)
