import numpy as np
import onnx
import onnxruntime
import pytest

from tests.models import numpy_onnx
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.catalog import catalog
from vggbatch.models.graphs.dense import make_dense
from vggbatch.models.graphs.graph import make_batchable
from vggbatch.models.graphs.normalize import add_normalization
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.synthesis import synthesize

onnxruntime.set_default_logger_severity(3)


def synthetic(name, size=64):
    """A thin network whose feature map is 2 x 2 at its own size, so that windows overlap."""
    return synthesize(name, shrink=32, size=size, classes=30)


def batchable(name, **options):
    model = synthetic(name)
    make_batchable(model, input_name=catalog()[name].input or "data_0", **options)
    return model


def noise(name, *shape):
    scale = 64 if "caffe2" in name else 1
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)


def run(model, images):
    session = open_network(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: images})


def by_hand(name, images, want=None):
    """Every window of the feature map through the dense layers, one by one, in numpy."""
    original = synthetic(name)
    kinds = [node.op_type for node in original.graph.node]
    position = next(i for i, kind in enumerate(kinds) if kind in ("Flatten", "Reshape"))
    head = onnx.ModelProto.FromString(original.SerializeToString())
    source = original.graph.node[position].input[0]
    del original.graph.node[position:], head.graph.node[:position], head.graph.input[:]
    shape = [1, None, 2, 2]
    head.graph.input.append(onnx.helper.make_tensor_value_info(source, 1, shape))
    last = head.graph.node[-1]
    softmax = last.op_type == "Softmax"
    scores = want or (last.input[0] if softmax else head.graph.output[0].name)
    results = []
    for image in images:
        maps = numpy_onnx.run(original, image[None], source)
        rows = [
            numpy_onnx.run(head, maps[:, :, y : y + 2, x : x + 2], scores)
            for y in range(maps.shape[2] - 1)
            for x in range(maps.shape[3] - 1)
        ]
        mean = np.mean(np.stack(rows).astype(np.float64), axis=0)
        if softmax and want is None:
            mean = np.exp(mean - mean.max())
            mean /= mean.sum()
        results.append(mean[0])
    return np.stack(results)


@pytest.mark.parametrize("name", catalog())
def test_equals_the_plain_network_on_its_own_size(name):
    images = noise(name, 3, 3, 64, 64)
    (expected,) = run(batchable(name), images)
    model = batchable(name)
    make_dense(model)
    onnx.checker.check_model(model)
    (found,) = run(model, images)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert (expected != expected[0]).any()


@pytest.mark.parametrize("name", catalog())
def test_averages_all_windows_of_larger_images(name):
    images = noise(name, 2, 3, 96, 160)
    expected = by_hand(name, images)
    model = batchable(name)
    make_dense(model)
    (found,) = run(model, images)
    assert found.shape == (2, 30)
    tolerance = 0.1 if catalog()[name].quantized else 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerance)
    assert np.abs(expected[0] - expected[1]).max() > 20 * tolerance or catalog()[name].quantized
    single = np.concatenate([run(model, image[None])[0] for image in images])
    np.testing.assert_allclose(found, single, rtol=1e-5, atol=1e-6)


def test_features_are_averaged_too():
    images = noise("vgg16-12", 1, 3, 64, 96)
    model = batchable("vgg16-12", features=True)
    make_dense(model)
    scores, features = run(model, images)
    dense = [n for n in synthetic("vgg16-12").graph.node if n.op_type == "Gemm"][-1]
    expected = by_hand("vgg16-12", images, want=dense.input[0])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores, by_hand("vgg16-12", images), rtol=1e-4, atol=1e-5)


def test_after_normalisation_it_takes_pixels_of_any_size():
    profile = Preprocess(resize=64, crop=64)
    model = batchable("vgg16-12")
    add_normalization(model, input_name="data", layout="NCHW", profile=profile)
    make_dense(model)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 80, 96, 3), np.uint8)
    values = (pixels / 255 - np.array(profile.mean)) / np.array(profile.std)
    images = values.transpose(0, 3, 1, 2).astype(np.float32)
    (found,) = run(model, pixels)
    np.testing.assert_allclose(found, by_hand("vgg16-12", images), rtol=1e-4, atol=1e-4)


def test_a_network_that_flattens_nothing_is_refused():
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "pool",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("y", 1, ["N", 3, 1, 1])],
    )
    with pytest.raises(UsageError, match="flattened feature map"):
        make_dense(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)]))
