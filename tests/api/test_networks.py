import onnx
import pytest

import vggbatch
from tests.support.images import write_folder
from vggbatch.models.catalog import catalog
from vggbatch.models.synthesis import synthesize


@pytest.mark.slow
def test_a_network_is_quantized_and_scores(tmp_path):
    write_folder(tmp_path / "images", 4)
    onnx.save(synthesize("vgg16-12", shrink=16), tmp_path / "net.onnx")
    (tmp_path / "net.yaml").write_text("preprocess: zoo\n")
    steps = []
    done = vggbatch.quantize(
        tmp_path / "net.onnx",
        tmp_path / "images",
        tmp_path / "int8.onnx",
        images=3,
        select={"limit": 3},
        on_progress=steps.append,
    )
    assert done.calibrated == 3
    assert "calibrating on 3 images" in steps
    scored = vggbatch.score(
        tmp_path / "images", output=tmp_path / "out", model=tmp_path / "int8.onnx"
    )
    assert scored.record["counts"] | {"images": 4, "errors": 0} == scored.record["counts"]


def test_values_that_there_are_not(tmp_path):
    for options, message in (
        ({"quant_format": "qqq"}, "quant_format is 'qqq': it is one of qdq, qoperator"),
        ({"calibration": "max"}, "calibration is 'max': it is one of minmax, percentile"),
        ({"images": 0}, "images is 0"),
        ({"select": {"limits": 3}}, "unknown key 'limits', did you mean 'limit'"),
    ):
        with pytest.raises(vggbatch.UsageError, match=message):
            vggbatch.quantize(tmp_path / "net.onnx", tmp_path, tmp_path / "int8.onnx", **options)
    with pytest.raises(vggbatch.UsageError, match="did you mean 'vgg16-12-int8'"):
        vggbatch.pull("vgg16-12-int9")


def test_a_model_comes_from_a_mirror_or_is_missing(tmp_path):
    wanted = catalog()["vgg16-12"].test_data
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / wanted.file).write_bytes(b"0" * wanted.bytes)
    with pytest.raises(vggbatch.VggbatchError, match="SHA-256"):
        vggbatch.pull(
            "vgg16-12",
            test_data=True,
            mirrors=[tmp_path / "mirror"],
            cache_dir=tmp_path / "cache",
            offline=True,
        )
