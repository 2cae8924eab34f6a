import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.models import numpy_onnx
from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.preprocess.transform import Normalizer
from vggbatch.quantization import quantizer as quantization
from vggbatch.quantization.quantizer import Quantizer

PROFILE = Preprocess(resize=32, crop=32)
NORMALISE = Normalizer(PROFILE)
CAFFE2 = resolve_profile("caffe2")[1]


def images(count, seed):
    """Blocks of color: neighboring pixels agree, as in a picture."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)


def centred_logits(probabilities):
    logits = np.log(np.maximum(probabilities, 1e-30))
    return logits - logits.mean(axis=1, keepdims=True)


def quantize(model, pixels, normalize, target, **options):
    with tempfile.TemporaryDirectory() as folder:
        Quantizer(model, pixels, normalize, Path(folder), **options).write(target)


def own(name, tmp_path):
    synthetic = synthesize(name, shrink=8, size=32)
    onnx.save(synthetic, tmp_path / "net.onnx")
    return synthetic, resolve(ModelOptions(name=str(tmp_path / "net.onnx")))


@pytest.mark.parametrize(
    ("name", "quant_format"),
    [
        ("vgg16-bn-7", "qdq"),
        ("vgg16-12", "qoperator"),
        ("vgg19-caffe2-3", "qdq"),
        pytest.param("vgg16-bn-7", "qoperator", marks=pytest.mark.slow),
        pytest.param("vgg16-12", "qdq", marks=pytest.mark.slow),
        pytest.param("vgg19-caffe2-3", "qoperator", marks=pytest.mark.slow),
    ],
)
def test_int8_stays_near_numpys_fp32_in_a_batch(name, quant_format, tmp_path):
    synthetic, model = own(name, tmp_path)
    target = tmp_path / "int8.onnx"
    normalize = Normalizer(CAFFE2) if "caffe2" in name else NORMALISE
    quantize(model, images(10, 0), normalize, target, quant_format=quant_format)
    given = normalize(images(4, 1))
    expected = np.concatenate([numpy_onnx.run(synthetic, image[None]) for image in given])
    prepared = prepare(resolve(ModelOptions(name=str(target))), cache_dir=str(tmp_path / "cache"))
    session = onnxruntime.InferenceSession(prepared.path)
    (found,) = session.run(None, {prepared.input: given})
    if model.output == "probabilities":
        # Back to logits, up to a constant: a softmax would magnify the step of 1/256 there.
        found, expected = (centred_logits(value) for value in (found, expected))
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 0.35
    apart = np.linalg.norm(expected[:-1] - expected[1:], axis=1) / np.linalg.norm(
        expected[1:], axis=1
    )
    assert error.max() < apart.min()
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    wanted = "QLinearConv" if quant_format == "qoperator" else "DequantizeLinear"
    assert wanted in kinds
    assert "BatchNormalization" not in kinds


def test_weights_are_signed_per_channel_and_reduced_if_asked(tmp_path):
    _, model = own("vgg16-12", tmp_path)
    largest = {}
    for reduce_range in (False, True):
        target = tmp_path / "int8.onnx"
        quantize(model, images(4, 0), NORMALISE, target, reduce_range=reduce_range)
        tensors = [t for t in onnx.load(target).graph.initializer if len(t.dims) == 4]
        assert {t.data_type for t in tensors} == {onnx.TensorProto.INT8}
        weights = [onnx.numpy_helper.to_array(t).astype(int) for t in tensors]
        largest[reduce_range] = max(int(np.abs(w).max()) for w in weights)
        per_channel = np.abs(weights[3]).reshape(len(weights[3]), -1).max(1)
        assert (per_channel == largest[reduce_range]).mean() > 0.9
    assert largest[True] <= 64 < largest[False]


@pytest.mark.parametrize("fast", [False, True])
def test_weights_have_seven_bits_where_eight_would_saturate(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "has_dot_product", lambda: fast)
    _, model = own("vgg16-12", tmp_path)
    target = tmp_path / "int8.onnx"
    quantize(model, images(4, 0), NORMALISE, target)
    tensors = [t for t in onnx.load(target).graph.initializer if len(t.dims) == 4]
    largest = max(int(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max()) for t in tensors)
    assert (largest > 64) == fast


@pytest.mark.parametrize("calibration", ["minmax", "percentile"])
def test_every_calibration_sees_all_batches(calibration, tmp_path, capfd):
    _, model = own("vgg16-12", tmp_path)
    scales = []
    for count in (4, 9):
        target = tmp_path / f"{count}.onnx"
        dark_first = images(9, 0) // np.array([64] * 8 + [1], np.uint8).reshape(-1, 1, 1, 1)
        quantize(model, dark_first[:count], NORMALISE, target, calibration=calibration)
        tensors = {t.name: t for t in onnx.load(target).graph.initializer}
        scales.append(float(onnx.numpy_helper.to_array(tensors["data_scale"])))
    assert scales[1] > scales[0]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("quant_format", ["qdq", "qoperator"])
def test_what_is_written_is_valid_onnx(quant_format, tmp_path):
    _, model = own("vgg16-12", tmp_path)
    target = tmp_path / "int8.onnx"
    quantize(model, images(4, 0), NORMALISE, target, quant_format=quant_format)
    made = {value.name for value in onnx.load(target).graph.initializer} | {model.input}
    for node in onnx.load(target).graph.node:
        assert set(node.input) <= made | {""}
        made |= set(node.output)


def test_what_cannot_be_quantized_is_one_line(tmp_path):
    _, model = own("vgg16-12-int8", tmp_path)
    with pytest.raises(UsageError, match="quantized already"):
        quantize(model, images(1, 0), NORMALISE, tmp_path / "x.onnx")
    with pytest.raises(UsageError, match="no image"):
        quantize(model, images(0, 0), NORMALISE, tmp_path / "x.onnx")


@pytest.mark.parametrize("quant_format", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", ["vgg16-12", "vgg19-caffe2-3"])
def test_scores_are_not_one_of_256_levels(name, quant_format, tmp_path):
    _, model = own(name, tmp_path)
    normalize = Normalizer(CAFFE2) if "caffe2" in name else NORMALISE
    target = tmp_path / "int8.onnx"
    quantize(model, images(10, 0), normalize, target, quant_format=quant_format)
    session = open_network(target)
    scores = session.run(None, {model.input: normalize(images(1, 1))})[0]
    assert len(np.unique(scores)) > 500
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    assert kinds >= ({"QGemm"} if quant_format == "qoperator" else {"Gemm"})


def test_only_what_is_asked_for_is_quantized(tmp_path):
    _, model = own("vgg16-12", tmp_path)
    (tmp_path / "work").mkdir()
    quantizer = Quantizer(model, images(4, 0), NORMALISE, tmp_path / "work")
    assert len(quantizer.layers) == 15
    first, last = quantizer.layers[0], quantizer.layers[-1]

    def integer_layers(write, *layers, **options):
        write(tmp_path / "int8.onnx", *layers, **options)
        graph = onnx.load(tmp_path / "int8.onnx").graph
        by_output = {node.output[0]: node for node in graph.node}
        found = set()
        for node in graph.node:
            if node.name in quantizer.layers:
                makers = [by_output.get(name) for name in node.input[:2]]
                if all(maker and maker.op_type == "DequantizeLinear" for maker in makers):
                    found.add(node.name)
        onnxruntime.InferenceSession(tmp_path / "int8.onnx")
        return found

    assert integer_layers(quantizer.write) == set(quantizer.layers)
    assert integer_layers(quantizer.write_alone, last) == {last}
    assert integer_layers(quantizer.write, keep_float=[first, last]) == set(quantizer.layers) - {
        first,
        last,
    }
