import dataclasses
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.models import numpy_onnx
from tests.support.prepared import SMALL, load
from tests.support.zoo import networks
from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.catalog import catalog
from vggbatch.models.preparation import write_form
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(synthesize("vgg16-bn-7", **SMALL), path)
    return resolve(ModelOptions(name=str(path)))


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def test_same_scores_as_numpy_in_a_batch(model, cache):
    prepared = prepare(model, cache_dir=cache)
    images = np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(np.float32)
    (found,) = load(prepared).run(list(prepared.outputs), {prepared.input: images})
    original = onnx.load(model.uri)
    expected = np.concatenate([numpy_onnx.run(original, image[None]) for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert prepared.max_difference < 1e-4
    assert prepared.output_kind == "logits"


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("name", networks())
def test_every_shape_of_the_zoo_is_prepared(name, cache, tmp_path):
    original = synthesize(name, **SMALL)
    onnx.save(original, tmp_path / "net.onnx")
    prepared = prepare(resolve(ModelOptions(name=str(tmp_path / "net.onnx"))), cache_dir=cache)
    scale = np.float32(64 if "caffe2" in name else 1)
    images = np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(np.float32) * scale
    (found,) = load(prepared).run(list(prepared.outputs), {prepared.input: images})
    expected = np.concatenate([numpy_onnx.run(original, image[None]) for image in images])
    # integer layers may round a tie the other way
    tolerance = 0.3 if prepared.quantized else 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=tolerance)
    assert prepared.quantized == bool(catalog()[name].quantized)
    assert (prepared.max_difference is None) == (catalog()[name].opset < 7)


@pytest.mark.usefixtures("built_here")
def test_dead_and_foldable_nodes_are_gone_and_weights_are_outside(model, cache):
    prepared = prepare(model, cache_dir=cache)
    graph = onnx.load(prepared.path, load_external_data=False).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"Dropout", "BatchNormalization", "Relu"}
    data = prepared.path.with_name("model.data")
    assert data.stat().st_size > 10 * prepared.path.stat().st_size


@pytest.mark.usefixtures("built_here")
def test_second_call_does_not_need_the_original(model, cache):
    first = prepare(model, cache_dir=cache)
    os.unlink(model.uri)
    changed = first.path.stat().st_mtime_ns
    assert prepare(model, cache_dir=cache) == first
    assert first.path.stat().st_mtime_ns == changed


@pytest.mark.usefixtures("built_here")
def test_features_are_a_second_output(model, cache):
    prepared = prepare(model, cache_dir=cache, features=True)
    assert prepared.features_width == 4096 // 16
    images = np.zeros((2, 3, 32, 32), np.float32)
    scores, features = load(prepared).run(list(prepared.outputs), {prepared.input: images})
    assert (scores.shape, features.shape) == ((2, 1000), (2, 256))
    assert prepare(model, cache_dir=cache).features_width is None


def test_wrong_bytes_are_refused_and_leave_nothing(model, cache, tmp_path):
    with open(model.uri, "ab") as file:
        file.write(b"x")
    with pytest.raises(VggbatchError, match="its SHA-256 is"):
        prepare(model, cache_dir=cache)
    left = [p for p in (tmp_path / "cache/prepared").iterdir() if p.suffix != ".lock"]
    assert left == []


def test_source_hands_over_the_bytes(model, cache):
    with open(model.uri, "rb") as file:
        data = file.read()
    remote = dataclasses.replace(model, uri="/on/the/driver/net.onnx")
    with pytest.raises(VggbatchError, match="its SHA-256 is"):
        prepare(remote, cache_dir=cache, source=lambda name: [data[1000:]])
    with pytest.raises(VggbatchError, match="cannot read /on/the/driver"):
        prepare(remote, cache_dir=cache)
    prepared = prepare(remote, cache_dir=cache, source=lambda name: [data[:1000], data[1000:]])
    assert prepared.max_difference < 1e-4


def test_a_machine_that_has_the_file_asks_for_nothing(model, cache):
    def source(name):
        raise AssertionError(f"{name} was asked for")

    assert prepare(model, cache_dir=cache, source=source).path.exists()


@pytest.mark.usefixtures("built_here")
def test_a_graph_that_mixes_the_images_of_a_batch_gets_one_at_a_time(cache, tmp_path):
    synthetic = synthesize("vgg16-12", **SMALL)
    last = synthetic.graph.node[-1]
    output, last.output[0] = last.output[0], "scores"
    mean = onnx.helper.make_node("ReduceMean", ["scores"], ["mean"], axes=[0])
    synthetic.graph.node.extend([mean, onnx.helper.make_node("Add", ["scores", "mean"], [output])])
    onnx.save(synthetic, tmp_path / "mixer.onnx")
    model = resolve(ModelOptions(name=str(tmp_path / "mixer.onnx")))
    prepared = prepare(model, cache_dir=cache)
    assert prepared.batch == 1
    images = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    for image in images:
        (found,) = load(prepared).run(list(prepared.outputs), {prepared.input: image[None]})
        # the mean over a batch of one is the scores themselves
        expected = 2 * numpy_onnx.run(synthesize("vgg16-12", **SMALL), image[None])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_many_at_once_build_once(model, cache, caplog):
    caplog.set_level("INFO", "vggbatch")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: prepare(model, cache_dir=cache), range(4)))
    assert len({r.path for r in results}) == 1
    assert sum("once" in record.message for record in caplog.records) == 1


def test_processes_at_once_build_once(model, cache, tmp_path):
    code = (
        "import logging, pickle, sys\n"
        "from vggbatch.models.preparation.prepare import prepare\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "print(prepare(pickle.load(open(sys.argv[1], 'rb')), cache_dir=sys.argv[2]).path)\n"
    )
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    command = [sys.executable, "-c", code, str(tmp_path / "model.pkl"), cache]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0] for process in running]
    assert {process.returncode for process in running} == {0}
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert sum("(once)" in output for output in outputs) == 1


@pytest.mark.usefixtures("built_here")
def test_another_processor_or_onnxruntime_gets_a_file_of_its_own(model, cache, monkeypatch):
    module = sys.modules["vggbatch.models.preparation.prepare"]
    paths = {prepare(model, cache_dir=cache).path}
    monkeypatch.setattr(module, "cpu_flags", lambda: "another processor's")
    paths.add(prepare(model, cache_dir=cache).path)
    monkeypatch.setattr(onnxruntime, "__version__", "0.0")
    paths.add(prepare(model, cache_dir=cache).path)
    assert len(paths) == 3
    monkeypatch.undo()
    assert prepare(model, cache_dir=cache).path in paths


def test_killed_while_building_is_built_again(model, cache, tmp_path):
    code = (
        "import os, pickle, sys\n"
        "import vggbatch.models.preparation.prepare, vggbatch.models.preparation.making as module\n"
        "module._run_build = lambda *a: os.kill(os.getpid(), 9)\n"
        "prepare = vggbatch.models.preparation.prepare.prepare\n"
        "prepare(pickle.load(open(sys.argv[1], 'rb')), cache_dir=sys.argv[2])\n"
    )
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    command = [sys.executable, "-c", code, str(tmp_path / "model.pkl"), cache]
    assert subprocess.run(command, check=False).returncode == -9
    assert list((tmp_path / "cache/prepared").glob(".net-*"))
    prepared = prepare(model, cache_dir=cache)
    assert prepared.path.exists()
    assert not list((tmp_path / "cache/prepared").glob(".net-*"))


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("name", ["vgg16-7", "vgg16-12-int8", "vgg19-caffe2-6"])
def test_pixels_in_with_normalisation_in_the_graph(name, cache, tmp_path):
    original = synthesize(name, **SMALL)
    onnx.save(original, tmp_path / "net.onnx")
    model = resolve(ModelOptions(name=str(tmp_path / "net.onnx")))
    bgr = Preprocess(
        resize=32, crop=32, channels="BGR", scale=1, mean=(103.9, 116.8, 123.7), std=(1, 1, 1)
    )
    profile = bgr if "caffe2" in name else Preprocess(resize=32, crop=32)
    prepared = prepare(model, cache_dir=cache, normalize=profile)
    assert prepared.input == "pixels"
    pixels = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), np.uint8)
    (found,) = load(prepared).run(None, {"pixels": pixels})
    for row, image in zip(found, pixels, strict=True):
        values = np.empty((1, 3, 32, 32), np.float32)
        for channel in range(3):
            source = 2 - channel if "caffe2" in name else channel
            values[0, channel] = (
                image[:, :, source] / profile.scale - profile.mean[channel]
            ) / profile.std[channel]
        expected = numpy_onnx.run(original, values)[0]
        tolerance = 0.3 if "int8" in name else 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(row, expected, atol=tolerance)
    assert prepare(model, cache_dir=cache).input == model.input


@pytest.mark.usefixtures("built_here")
def test_the_zoos_real_graph(thin_vgg19, cache, tmp_path):
    onnx.save(thin_vgg19, tmp_path / "thin.onnx")
    model = resolve(ModelOptions(name=str(tmp_path / "thin.onnx")))
    assert (model.input, model.output, model.input_size) == ("data_0", "probabilities", (32, 32))
    prepared = prepare(model, cache_dir=cache, features=True)
    assert prepared.features_width == 256
    images = np.random.default_rng(3).standard_normal((3, 3, 32, 32)).astype(np.float32)
    scores, _ = load(prepared).run(None, {"data_0": images})
    expected = np.concatenate([numpy_onnx.run(thin_vgg19, image[None]) for image in images])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_the_zoos_real_graph_at_full_size(light_vgg19, cache):
    model = resolve(ModelOptions(name=str(light_vgg19)))
    assert (model.input, model.output, model.input_size) == ("data_0", "probabilities", (224, 224))
    prepared = prepare(model, cache_dir=cache, features=True)
    assert prepared.features_width == 4096
    assert prepared.max_difference == 0


def test_a_crash_of_the_build_is_one_line(model, cache):
    broken = dataclasses.replace(model, input="nothing")
    with pytest.raises(VggbatchError, match="could not be prepared") as error:
        prepare(broken, cache_dir=cache)
    assert "\n" not in str(error.value)


def test_a_tensor_that_is_not_there_is_one_line(model, cache):
    broken = dataclasses.replace(model, scores="nothing")
    with pytest.raises(UsageError, match="cannot be run on its input 'data'") as error:
        prepare(broken, cache_dir=cache)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("built_here")
def test_a_form_that_onnxruntime_cannot_write_gives_way_to_another(model, cache, monkeypatch):
    def write(source, target, *arguments, settings):
        if "save_external_prepacked_constant_initializers" in settings:
            source.write_bytes(b"no network")
        write_optimized(source, target, *arguments, settings=settings)

    write_optimized = write_form.write_optimized
    monkeypatch.setattr(write_form, "write_optimized", write)
    path = prepare(model, cache_dir=cache).path
    assert '"batch freed, optimized"' in (path.parent / "prepared.json").read_text()


def in_float16(path, layers=12):
    """A network of many layers in float16, whose roundings add up, and its weights."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, (2 / 192) ** 0.5, (192, 192)) for _ in range(layers)]
    weights = [w.astype(np.float16) for w in [*weights, rng.normal(0, 0.1, (192, 1000))]]
    nodes = [
        onnx.helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        onnx.helper.make_node("Flatten", ["cells"], ["a0"]),
    ]
    for n in range(layers):
        nodes.append(onnx.helper.make_node("MatMul", [f"a{n}", f"w{n}"], [f"m{n}"]))
        nodes.append(onnx.helper.make_node("Relu", [f"m{n}"], [f"a{n + 1}"]))
    nodes.append(onnx.helper.make_node("MatMul", [f"a{layers}", f"w{layers}"], ["y"]))
    half = onnx.TensorProto.FLOAT16
    graph = onnx.helper.make_graph(
        nodes,
        "deep",
        [onnx.helper.make_tensor_value_info("x", half, ["N", 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("y", half, ["N", 1000])],
        [onnx.numpy_helper.from_array(w, f"w{n}") for n, w in enumerate(weights)],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return weights


@pytest.mark.usefixtures("built_here")
def test_a_deep_network_in_float16_is_what_it_is_but_for_its_roundings(tmp_path, cache):
    weights = in_float16(tmp_path / "net.onnx")
    crop = Preprocess(resize=32, crop=32)
    options = ModelOptions(name=str(tmp_path / "net.onnx"), preprocess=crop)
    prepared = prepare(resolve(options), cache_dir=cache)
    assert prepared.max_difference > 0
    images = np.random.default_rng(1).uniform(-2, 2, (3, 3, 32, 32)).astype(np.float32)
    (found,) = load(prepared).run(list(prepared.outputs), {prepared.input: images})
    rows = images.astype(np.float64).reshape(3, 3, 8, 4, 8, 4).mean((3, 5)).reshape(3, -1)
    for weight in weights[:-1]:
        rows = np.maximum(rows @ weight.astype(np.float64), 0)
    expected = rows @ weights[-1].astype(np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


@pytest.mark.usefixtures("built_here")
def test_int8_is_prepared_for_other_kernels_than_the_cpus(tmp_path, cache):
    onnx.save(synthesize("vgg16-12-int8", shrink=16, size=32), tmp_path / "net.onnx")
    options = ModelOptions(name=str(tmp_path / "net.onnx"), preprocess={"crop": 32, "resize": 32})
    prepared = prepare(resolve(options), cache_dir=cache, portable=True)
    assert not prepared.optimized
    there = {path.name for path in prepared.path.parent.iterdir()}
    assert there == {"model.onnx", "model.data", "prepared.json"}
