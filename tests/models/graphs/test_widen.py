import numpy as np
import onnx
import pytest

from vggbatch.models.graphs.graph import make_batchable
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.graphs.widen import widen_first_convolution
from vggbatch.models.synthesis import synthesize


def run(model, images):
    session = open_network(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: images})[0]


@pytest.mark.parametrize(
    ("name", "opset"), [("vgg16-12-int8", 12), ("vgg16-12-qdq", 12), ("vgg16-12-qdq", 10)]
)
def test_the_scores_are_the_same_to_the_bit(name, opset):
    model = synthesize(name, shrink=16, size=32)
    make_batchable(model, input_name="data")
    model.opset_import[0].version = opset
    images = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    expected = run(model, images)
    assert widen_first_convolution(model)
    np.testing.assert_array_equal(run(model, images), expected)
    assert np.ptp(expected) > 0
    kernels = [list(t.dims) for t in model.graph.initializer if len(t.dims) == 4]
    assert kernels[0][1] == 4
    assert not widen_first_convolution(model)


def test_other_networks_stay_as_they_are():
    for name in ("vgg16-12", "vgg19-caffe2-3"):
        model = synthesize(name, shrink=64, size=32)
        before = model.SerializeToString()
        assert not widen_first_convolution(model)
        assert model.SerializeToString() == before


def test_an_image_that_something_else_takes_too_stays_as_it_is():
    model = synthesize("vgg16-12-int8", shrink=64, size=32)
    graph = model.graph
    quantized = next(node.output[0] for node in graph.node if node.op_type == "QuantizeLinear")
    graph.node.append(onnx.helper.make_node("Identity", [quantized], ["copy"]))
    assert not widen_first_convolution(model)
