"""Vectors in the zoo's layout, their expected scores from the numpy interpreter."""

import tarfile

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.models import numpy_onnx
from vggbatch.config import ModelOptions
from vggbatch.errors import UsageError
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize
from vggbatch.models.test_vectors import verify

pytestmark = pytest.mark.usefixtures("built_here")


def write_vectors(folder, synthetic, count=2, shift=0.0):
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.standard_normal((1, 3, 32, 32)).astype(np.float32)
        scores = numpy_onnx.run(synthetic, image).astype(np.float32)
        scores[0, 7] += shift * np.abs(scores).max()
        data_set = folder / f"test_data_set_{i}"
        data_set.mkdir(parents=True)
        for kind, value in (("input", image), ("output", scores)):
            tensor = numpy_helper.from_array(value)
            (data_set / f"{kind}_0.pb").write_bytes(tensor.SerializeToString())


def prepared_synthetic(name, tmp_path):
    synthetic = synthesize(name, shrink=16, size=32)
    onnx.save(synthetic, tmp_path / "net.onnx")
    model = resolve(ModelOptions(name=str(tmp_path / "net.onnx")))
    return synthetic, prepare(model, cache_dir=str(tmp_path / "cache"))


def pack(folder, target):
    """As the zoo packs: the model first, everything under one folder."""
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder.parent / "net.onnx", "vgg/model.onnx")
        archive.add(folder, "vgg")
    return target


@pytest.mark.parametrize("name", ["vgg16-bn-7", "vgg19-caffe2-3", "vgg16-12-int8"])
def test_archive_and_folder_pass(name, tmp_path):
    synthetic, prepared = prepared_synthetic(name, tmp_path)
    write_vectors(tmp_path / "vectors", synthetic)
    archive = pack(tmp_path / "vectors", tmp_path / "net.tar.gz")
    results = verify(prepared, archive)
    assert [r.name for r in results] == ["test_data_set_0", "test_data_set_1"]
    assert all(r.passed for r in results)
    assert verify(prepared, tmp_path / "vectors") == results


@pytest.mark.parametrize(("name", "shift"), [("vgg16-7", 0.002), ("vgg16-12-int8", 0.12)])
def test_other_scores_fail_with_their_difference(name, shift, tmp_path):
    synthetic, prepared = prepared_synthetic(name, tmp_path)
    write_vectors(tmp_path / "vectors", synthetic, 1, shift)
    (result,) = verify(prepared, tmp_path / "vectors")
    assert not result.passed
    assert result.max_difference > result.allowed


def test_nan_fails(tmp_path):
    synthetic, prepared = prepared_synthetic("vgg16-7", tmp_path)
    write_vectors(tmp_path / "vectors", synthetic, 1, np.nan)
    assert not verify(prepared, tmp_path / "vectors")[0].passed


def test_what_cannot_be_used_is_one_line(tmp_path):
    synthetic, prepared = prepared_synthetic("vgg16-7", tmp_path)
    write_vectors(tmp_path / "vectors", synthetic, 1)
    archive = pack(tmp_path / "vectors", tmp_path / "net.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(UsageError, match="damaged"):
        verify(prepared, cut)
    with pytest.raises(UsageError, match="no test vectors"):
        verify(prepared, tmp_path / "none.tar.gz")
    (tmp_path / "vectors/test_data_set_0/output_0.pb").unlink()
    with pytest.raises(UsageError, match="lacks its"):
        verify(prepared, tmp_path / "vectors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no test vectors"):
        verify(prepared, tmp_path / "empty")
