import os

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.support.images import cut, jpeg, write_folder
from tests.support.nets import color_net
from vggbatch.bench.setup import collect_images, prepare_networks
from vggbatch.config import JobConfig
from vggbatch.errors import UsageError


def test_images_are_repeated_and_damaged_ones_left_out(tmp_path):
    names = write_folder(tmp_path / "in", 3)
    (tmp_path / "in" / "00001a.jpg").write_bytes(jpeg(cut(9))[:400])
    found = collect_images([str(tmp_path / "in")], 7, tmp_path / "out")
    assert (found.count, found.distinct) == (7, 3)
    files = sorted(os.listdir(tmp_path / "out"))
    assert files == [f"{i:07d}.jpg" for i in range(7)]
    for i, file in enumerate(files):
        original = (tmp_path / "in" / names[i % 3]).read_bytes()
        assert (tmp_path / "out" / file).read_bytes() == original


def test_fewer_images_than_there_are(tmp_path):
    write_folder(tmp_path / "in", 5)
    assert collect_images([str(tmp_path / "in")], 2, tmp_path / "a").count == 2
    assert collect_images([str(tmp_path / "in")], None, tmp_path / "b").count == 5


def test_no_image_at_all(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(UsageError, match="decodes"):
        collect_images([str(tmp_path / "in")], 5, tmp_path / "out")


def open_as_it_is(graph):
    options = ort.SessionOptions()
    if graph.optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(graph.file, options)


def test_networks_take_batches(tmp_path):
    fixed = color_net(tmp_path / "fixed.onnx", batch=1)
    config = JobConfig(cache_dir=str(tmp_path / "cache"))
    (tmp_path / "again").mkdir()
    [network] = prepare_networks([str(fixed)], config, tmp_path)
    assert network.label == "fp32"
    assert network.recipe.crop == 32
    session = ort.InferenceSession(network.file)
    assert session.get_inputs()[0].name == network.input
    assert session.get_inputs()[0].shape[0] == "N"
    assert session.get_outputs()[0].name == network.output
    # what vggbatch runs, too: made before any clock, once
    own = open_as_it_is(network.prepared)
    given = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
    [scores] = own.run([network.prepared.output], {network.prepared.input: given})
    np.testing.assert_allclose(scores, session.run(None, {"data": given})[0], rtol=1e-4, atol=1e-4)
    assert network.prepare_seconds > 0
    [again] = prepare_networks([str(fixed)], config, tmp_path / "again")
    assert again.prepare_seconds is None


def test_two_networks_of_one_kind_go_by_their_names(tmp_path):
    first = color_net(tmp_path / "first.onnx")
    second = color_net(tmp_path / "second.onnx", seed=1)
    networks = prepare_networks([str(first), str(second)], JobConfig(), tmp_path)
    assert [network.label for network in networks] == ["first", "second"]


def test_int8_is_known_by_its_operators(tmp_path):
    model = onnx.load(color_net(tmp_path / "net.onnx"))
    kinds = [
        onnx.helper.make_tensor("scale", 1, [], [0.1]),
        onnx.helper.make_tensor("zero", 2, [], [128]),
    ]
    model.graph.initializer.extend(kinds)
    quantize = onnx.helper.make_node("QuantizeLinear", ["data", "scale", "zero"], ["q"])
    dequantize = onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"])
    model.graph.node[0].input[0] = "d"
    model.graph.node.insert(0, dequantize)
    model.graph.node.insert(0, quantize)
    onnx.save(model, tmp_path / "net.onnx")
    [network] = prepare_networks([str(tmp_path / "net.onnx")], JobConfig(), tmp_path)
    assert network.label == "int8"
