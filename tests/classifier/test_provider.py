"""Networks on another provider than onnxruntime's own CPU kernels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.support.images import write_folder
from vggbatch import api, load_predictions
from vggbatch.classifier.provider import Provider
from vggbatch.classifier.session import Session, SessionSpec
from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.job.networks import check_scores
from vggbatch.models.synthesis import synthesize

# it is in every wheel, and leaves all of these networks to the CPU
THERE = "azure"
needs = pytest.mark.skipif(
    "AzureExecutionProvider" not in ort.get_available_providers(),
    reason="this onnxruntime was built without the provider that needs no device",
)


def test_the_name_is_onnxruntimes_or_short():
    assert Provider.named("cpu", {}, here=True) is None
    for name in ("cuda", "CUDA", "CUDAExecutionProvider"):
        options = ComputeOptions(provider=name)
        found = Provider.named(options.provider, {"device_id": "1"}, here=False)
        assert found == Provider("CUDAExecutionProvider", {"device_id": "1"})


@pytest.mark.parametrize(("name", "here"), [("cudda", False), ("armnn", True)])
def test_one_that_is_not_there_is_refused_with_those_that_are(name, here):
    with pytest.raises(UsageError, match=rf"compute.provider {name}: onnxruntime .* cpu"):
        Provider.named(name, {}, here=here)


def test_one_that_cannot_be_used_is_an_error(net):
    absent = Provider("CUDAExecutionProvider")
    with pytest.raises(VggbatchError, match="cannot be used on this machine"):
        absent.open(str(net), ort.SessionOptions())


@needs
def test_integers_are_exact_on_what_the_cpu_computes_for_it(tmp_path):
    """As a processor without VNNI adds them up wrongly where it is not kept from it."""
    path = tmp_path / "int8.onnx"
    onnx.save(synthesize("vgg16-12-int8", shrink=16, size=32), path)
    graph = onnx.load(path).graph
    spec = {"path": str(path), "layout": "NCHW", "probabilities": False, "batch": 1}
    spec |= {"input": graph.input[0].name, "outputs": (graph.output[0].name,)}
    images = np.random.default_rng(0).normal(0, 2, (4, 3, 32, 32)).astype(np.float32)
    plain, other = (
        Session(SessionSpec(**spec, provider=provider), 1)(images)[0]
        for provider in (None, Provider("AzureExecutionProvider"))
    )
    np.testing.assert_array_equal(plain, other)
    assert len(np.unique(plain.argmax(axis=1))) > 1


def test_options_may_be_numbers():
    options = ComputeOptions(provider="cuda", provider_options={"device_id": 0, "flag": True})
    assert options.provider_options == {"device_id": "0", "flag": "True"}


@needs
def test_what_it_cannot_open_is_one_line():
    with pytest.raises(
        VggbatchError, match=r"AzureExecutionProvider cannot be used .*no such file"
    ):
        Provider("AzureExecutionProvider").open("no such file", ort.SessionOptions())


def test_one_that_is_not_here_predicts_nothing(net, tmp_path):
    write_folder(tmp_path, 1)
    with pytest.raises(UsageError, match=r"compute\.provider cuda: onnxruntime"):
        api.predict(str(tmp_path), model=str(net), compute={"provider": "cuda"})


@pytest.mark.parametrize("off", [0.6, np.nan])
def test_other_scores_than_the_cpus_are_refused(off):
    scores = np.linspace(0, 10, 20, dtype=np.float32).reshape(2, 10)
    check_scores(scores + np.float32(0.4), scores, "a provider and a network")
    other = scores.copy()
    other[1, 3] += off
    with pytest.raises(VggbatchError, match="a provider and a network do not go together"):
        check_scores(other, scores, "a provider and a network")


@pytest.fixture
def scored(net, tmp_path):
    folder = tmp_path / "images"
    write_folder(folder, 5)

    def score(output, **compute):
        job = {"model": str(net), "output": str(tmp_path / output), "chunk_size": 2}
        record = api.score(str(folder), **job, compute=compute).record
        return load_predictions(tmp_path / output).to_pylist(), record

    return score


@needs
def test_its_rows_are_those_of_the_cpu_and_its_output_its_own(scored):
    rows, _ = scored("cpu")
    found, record = scored("other", provider=THERE)
    assert record["config"]["compute"]["provider"] == THERE
    assert record["placement"]["actors"] == 1
    assert [row["image_id"] for row in found] == [row["image_id"] for row in rows]
    assert [row["top5_index"] for row in found] == [row["top5_index"] for row in rows]
    assert len({tuple(row["top5_index"]) for row in rows}) > 1
    for name, provider in (("cpu", THERE), ("other", "cpu")):
        with pytest.raises(UsageError, match="belongs to a run with other settings: provider"):
            scored(name, provider=provider)


@pytest.mark.slow
@pytest.mark.skipif(
    "ONNXRUNTIME_OPENVINO" not in os.environ,
    reason="ONNXRUNTIME_OPENVINO names no folder with onnxruntime-openvino (pip install --target)",
)
def test_openvino_gives_the_probabilities_of_the_cpu(net, tmp_path):
    write_folder(tmp_path / "images", 5)
    environment = os.environ | {"PYTHONPATH": os.environ["ONNXRUNTIME_OPENVINO"]}
    command = [sys.executable, "-m", "vggbatch", "score", "images", "-m", str(net), "-q"]
    for words in (["-o", "cpu"], ["-o", "openvino", "--set", "compute.provider=openvino"]):
        subprocess.run([*command, *words], env=environment, cwd=tmp_path, check=True)
    one, other = (load_predictions(Path(tmp_path, name)) for name in ("cpu", "openvino"))
    assert one["top5_index"].to_pylist() == other["top5_index"].to_pylist()
    values = [np.array(table["top5_probability"].to_pylist()) for table in (one, other)]
    np.testing.assert_allclose(*values, atol=1e-5)
