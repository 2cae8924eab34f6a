"""NaN or infinity in a row is an error of that image alone."""

import numpy as np
import onnx
import pyarrow as pa
from onnx import helper

from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.chunks.chunk import ROW, with_errors
from vggbatch.classifier.classifier import Classifier, NetworkSpec
from vggbatch.classifier.session import SessionSpec
from vggbatch.config import Preprocess
from vggbatch.preprocess.image_buffer import ImageBufferBuilder


def overflowing(path):
    """Scores that are infinite for an image whose first class scores below zero: 1 / relu."""
    model = onnx.load(color_net(path))
    model.graph.node[-1].output[0] = "raw"
    zero = onnx.numpy_helper.from_array(np.array([0], np.int64), "zero")
    model.graph.initializer.append(zero)
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["raw", "zero"], ["first"], axis=1),
            helper.make_node("Relu", ["first"], ["gate"]),
            helper.make_node("Reciprocal", ["gate"], ["factor"]),
            helper.make_node("Mul", ["raw", "factor"], ["scores"]),
        ]
    )
    onnx.save(model, path)
    return path


def test_other_rows_of_the_batch_are_as_without_it(tmp_path):
    path = overflowing(tmp_path / "net.onnx")
    spec = SessionSpec(str(path), "data", ("scores",), "NCHW", probabilities=False)
    classifier = Classifier([NetworkSpec(spec, None)], pin=False)
    profile = Preprocess(resize=32, crop=32)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    pixels = (pixels * np.linspace(0.1, 1, 8)[:, None, None, None]).astype(np.uint8)

    def predicted(some):
        packer = ImageBufferBuilder(1, some.size)
        for picture in some:
            packer.add([picture])
        return classifier([packer.packed()], [profile], np.full(len(some), 7, np.int32))

    together = predicted(pixels)
    assert 0 < together.bad.sum() < 8
    assert (np.isnan(together.label_nll) == together.bad).all()
    for number, image in enumerate(pixels):
        alone = predicted(image[None])
        assert alone.bad[0] == together.bad[number]
        if not alone.bad[0]:
            assert (alone.index[0] == together.index[number]).all()
            np.testing.assert_allclose(
                alone.probability[0], together.probability[number], rtol=1e-5
            )


def test_errors_go_to_the_rows_that_had_none():
    columns = [["a", "b", "c"], ["s"] * 3, [None, 1, 2], [None, "empty: x", None]]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, ROW, strict=True)]
    rows = pa.StructArray.from_arrays(arrays, fields=list(ROW))
    found = with_errors(rows, np.array([False, True]), "bad_scores: NaN")
    assert found.field("error").to_pylist() == [None, "empty: x", "bad_scores: NaN"]
    assert with_errors(rows, np.array([False, False]), "no") is rows


def test_predictions_say_which_image_it_was(tmp_path):
    write_folder(tmp_path / "images", 12)
    net = str(overflowing(tmp_path / "net.onnx"))
    options = {"model": net, "cache_dir": str(tmp_path / "cache"), "max_error_rate": 1.0}
    scored = api.score(str(tmp_path / "images"), output=str(tmp_path / "out"), **options)
    errors = api.load_predictions(str(tmp_path / "out"))["error"].to_pylist()
    bad = sum(error is not None for error in errors)
    assert 0 < bad < 12
    assert scored.record["counts"]["errors_by_kind"] == {"bad_scores": bad}
    (rows,) = [api.predict(str(tmp_path / "images"), **{**options, "max_error_rate": None})]
    assert rows["error"].to_pylist() == errors
