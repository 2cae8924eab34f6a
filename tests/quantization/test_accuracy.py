import numpy as np
import onnx
import pytest

from tests.quantization.test_quantizer import NORMALISE
from tests.quantization.test_sensitivity import fragile, images, quantizer  # noqa: F401 (fixtures)
from vggbatch.metrics.estimates.intervals import mcnemar_mid_p, paired_difference
from vggbatch.models.graphs.runtime import open_network
from vggbatch.quantization.accuracy import Paired, classify

FIRST = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1], bool)
SECOND = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 1], bool)


def test_a_pair_is_counted_image_by_image():
    found = Paired.of(FIRST, SECOND)
    assert (found.images, found.only_original, found.only_quantized) == (10, 3, 1)
    assert (found.original_top1, found.quantized_top1) == (70, 50)
    assert found.difference == pytest.approx(20)
    interval = np.multiply(paired_difference(4, 3, 1, 2), 100)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(interval))
    assert found.mid_p_value == mcnemar_mid_p(3, 1)


def test_networks_that_are_never_apart_still_have_an_interval():
    found = Paired.of(FIRST, FIRST)
    assert found.difference == 0
    assert found.ci_low < -5 < 5 < found.ci_high


def test_each_network_is_right_where_it_is_alone(quantizer, fragile, tmp_path):  # noqa: F811
    target = tmp_path / "int8.onnx"
    quantizer.write(target)
    crops = images(11, 5)  # no whole number of batches
    alone = [open_network(p).run(None, {"data": NORMALISE(crops)})[0] for p in (fragile, target)]
    labels = alone[0].argmax(1)
    labels[::3] = 7
    found = classify(quantizer, [fragile, target], zip(crops, labels.tolist(), strict=True))
    for seen, scores in zip(found, alone, strict=True):
        assert seen.right.tolist() == (scores.argmax(1) == labels).tolist()
        assert 0 < seen.rate < np.inf


def test_scores_that_are_no_numbers_are_of_no_class(quantizer, fragile, tmp_path):  # noqa: F811
    model = onnx.load(fragile)
    model.graph.node[-1].output[0] = "finite"
    for name, value in (("zero", 0.0), ("infinity", np.inf)):
        tensor = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        model.graph.initializer.append(tensor)
    model.graph.node.append(onnx.helper.make_node("Mul", ["zero", "infinity"], ["nan"]))
    model.graph.node.append(onnx.helper.make_node("Add", ["finite", "nan"], ["scores"]))
    onnx.save(model, tmp_path / "nan.onnx")
    [seen] = classify(quantizer, [tmp_path / "nan.onnx"], [(images(1, 0)[0], 0)])
    assert seen.right.tolist() == [False]
