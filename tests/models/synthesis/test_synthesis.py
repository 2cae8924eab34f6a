import numpy as np
import onnx
import onnxruntime
import pytest
from skimage import data as photos
from skimage.transform import resize

from tests.models import numpy_onnx
from tests.support.zoo import networks
from vggbatch.models.catalog import catalog
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.synthesis import synthesize

onnxruntime.set_default_logger_severity(3)


def pictures(size: int = 32, scale: float = 1.0) -> np.ndarray:
    """Crops of skimage's photographs, about normalized."""
    sources = [photos.astronaut(), photos.coffee(), photos.cat(), photos.rocket()]
    crops = [
        part
        for image in sources
        for part in (image[:150, :150], image[100:280, 200:380], image[-160:, -160:])
    ]
    pixels = np.stack([resize(crop, (size, size), anti_aliasing=True) for crop in crops])
    normalized = (pixels - pixels.mean()) / pixels.std() * scale
    return normalized.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("name", networks())
def test_twin_tells_pictures_apart(name):
    model = synthesize(name, shrink=8, size=64)
    images = pictures(64, scale=64.0 if "caffe2" in name else 1.0)
    scores = np.concatenate([numpy_onnx.run(model, image[None]) for image in images])
    assert len(set(scores.argmax(axis=1))) >= 8
    probabilities = scores
    if catalog()[name].output_kind == "logits":
        assert 0.5 < scores.std(axis=1).mean() < 8
        probabilities = numpy_onnx._softmax({}, scores)
    assert probabilities.max(axis=1).mean() < 0.8


@pytest.mark.parametrize("name", [n for n, e in catalog().items() if e.opset >= 7])
def test_twin_runs_as_numpy_says(name):
    model = synthesize(name, shrink=16, size=32)
    session = open_network(model.SerializeToString())
    image = pictures(scale=64.0 if "caffe2" in name else 1.0)[:1]
    (found,) = session.run(None, {session.get_inputs()[0].name: image})
    expected = numpy_onnx.run(model, image)
    # Integer layers may round a tie the other way.
    tolerance = 0.3 if catalog()[name].quantized else 1e-4 * np.abs(expected).max()
    assert np.abs(found - expected).max() < tolerance
    assert found.shape == (1, 1000)


@pytest.mark.parametrize("name", catalog())
def test_twin_has_the_zoos_shape(name):
    entry = catalog()[name]
    model = synthesize(name, shrink=16, size=32)
    onnx.checker.check_model(model)
    assert model.opset_import[0].version == entry.opset
    constants = {t.name for t in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in constants]
    assert [v.name for v in inputs] == [entry.input or "data_0"]
    assert model.ir_version == (7 if entry.opset == 12 else 3)
    assert (constants <= {v.name for v in model.graph.input}) == (model.ir_version == 3)
    assert model.graph.output[0].name == (entry.output or "prob_1")
    tensors = {name for node in model.graph.node for name in node.output}
    assert entry.features is None or entry.features in tensors
    kinds = [node.op_type for node in model.graph.node]
    assert sum("Conv" in kind for kind in kinds) == entry.layers - 3
    assert ("BatchNormalization" in kinds) == entry.batch_norm


def test_caffe2_twin_is_the_onnx_wheels_graph(light_vgg19):
    synthetic, light = synthesize("vgg19-caffe2-9", shrink=64, size=32), onnx.load(light_vgg19)
    nodes = [node for node in light.graph.node if node.op_type != "ConstantOfShape"]
    for ours, theirs in zip(synthetic.graph.node, nodes, strict=True):
        assert ours.op_type == theirs.op_type
        assert len(ours.output) == len(theirs.output)
        assert list(ours.input[1:]) == list(theirs.input[1:])
        assert sorted(a.name for a in ours.attribute) == sorted(a.name for a in theirs.attribute)


def test_seeds_give_other_weights_and_the_same_seed_the_same():
    one = synthesize("vgg16-12", shrink=32, size=32).SerializeToString()
    assert one == synthesize("vgg16-12", shrink=32, size=32).SerializeToString()
    assert one != synthesize("vgg16-12", shrink=32, size=32, seed=1).SerializeToString()


def test_odd_size_is_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        synthesize("vgg16-12", size=50)
