"""The models commands as typed. Pulling is tested against a real server in tests/models."""

import hashlib
import re

import numpy as np
import onnxruntime
import pytest
import yaml
from onnx import numpy_helper
from PIL import Image
from typer.testing import CliRunner

from vggbatch.cli import app
from vggbatch.cli.commands.models.options import mirrors
from vggbatch.config import ModelOptions, Preprocess
from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.models.catalog import catalog
from vggbatch.models.resolve import resolve

runner = CliRunner()


def run(*words):
    done = runner.invoke(app, ["models", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_list_shows_all_twelve():
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(catalog())


def test_info_shows_where_it_is_or_how_to_get_it(tmp_path):
    out = run("info", "vgg16-12-int8", "--cache-dir", tmp_path).output
    assert "0d0a8e1d69f70404421e37dbad4f8bd21d42758e9f426bd5b39e9e4e9e1afa23" in out
    assert "vggbatch models pull vgg16-12-int8" in out


def test_mirrors_of_the_environment_come_after_those_of_the_command(monkeypatch):
    monkeypatch.setenv("VGGBATCH_MIRRORS", "/b s3://c/d")
    assert mirrors(["/a"]) == ("/a", "/b", "s3://c/d")
    assert mirrors(None) == ("/b", "s3://c/d")


def test_an_unknown_name_has_a_neighbor():
    with pytest.raises(UsageError, match="did you mean 'vgg16-bn-7'"):
        run("info", "vgg16-bn")


def test_synthesize_writes_the_same_twin_again(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        assert run("synthesize", "vgg16-12", "-o", tmp_path / name, "--shrink", 32).exit_code == 0
    digests = {
        hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("a.onnx", "b.onnx")
    }
    assert len(digests) == 1


def test_prepare_shows_the_file(net, tmp_path):
    out = run("prepare", net, "--cache-dir", tmp_path).output
    assert "scores" in out
    assert list(tmp_path.rglob("model.onnx"))


def test_verify_says_pass_or_fail(net, tmp_path):
    with pytest.raises(UsageError, match="--vectors"):
        run("verify", net, "--cache-dir", tmp_path)
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    model = resolve(ModelOptions(name=str(net)))
    image = np.zeros((1, 3, *model.input_size), np.float32)
    scores = onnxruntime.InferenceSession(net).run(None, {model.input: image})[0]
    for kind, value in (("input", image), ("output", scores)):
        (folder / f"{kind}_0.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    words = ("verify", net, "--vectors", tmp_path, "--cache-dir", tmp_path)
    assert "test_data_set_0  pass" in run(*words).output
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(scores + 9).SerializeToString())
    with pytest.raises(VggbatchError, match="1 of 1 test vectors fail"):
        run(*words)


def test_quantize_writes_a_model_that_describes_itself(net, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    original = resolve(ModelOptions(name=str(net)))
    profile = Preprocess(resize=32, crop=32, mean=(0.5, 0.5, 0.5))
    own = tmp_path / "own.onnx"
    own.write_bytes(net.read_bytes())
    parts = profile.model_dump(mode="json")
    own.with_suffix(".yaml").write_text(yaml.safe_dump({"preprocess": parts}))
    target = tmp_path / "out/int8.onnx"
    done = run("quantize", own, tmp_path / "*.png", "-o", target, "--cache-dir", tmp_path / "c")
    assert "6 images" in done.output
    assert "1 image cannot be read" in done.output + done.stderr
    found = resolve(ModelOptions(name=str(target)))
    assert (found.preprocess, found.output) == (profile, original.output)
    image = np.zeros((2, 3, 32, 32), np.float32)
    scores = onnxruntime.InferenceSession(target).run(None, {found.input: image})[0]
    assert scores.shape == (2, 1000)
    with pytest.raises(UsageError, match=r"must end in .onnx"):
        run("quantize", own, tmp_path / "*.png", "-o", tmp_path / "int8")


def test_quantize_shows_what_int8_costs_on_labeled_images(net, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["file,class_index"]
    for i in range(12):
        pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
        lines.append(f"{i:02}.png,{i}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    words = ("quantize", net, tmp_path / "*.png", "-l", tmp_path / "labels.csv", "--images", 4)
    more = ("--max-drop", 60, "-o", tmp_path / "int8.onnx", "--cache-dir", tmp_path / "c")
    done = runner.invoke(app, ["models", *map(str, (*words, *more))])
    # labels of noise: a limit that is kept by guessing is no success
    assert isinstance(done.exception, JobFailed)
    assert "0.00 % of 4 images, which may be chance" in str(done.exception)
    shown = done.stdout
    assert re.search(r"^on 4 images that choose layers$", shown, re.MULTILINE)
    assert re.search(r"^on 4 other images, which report$", shown, re.MULTILINE)
    row = r"^int8 +[\d.]+ +-?[\d.]+ \(-[\d.]+ to [\d.]+\) +\d +\d +[\d.]+ +[\d.]+$"
    assert re.search(row, shown, re.MULTILINE)
    assert re.search(r"^calibrated on +4 images$", shown, re.MULTILINE)
    assert re.search(r"^layers chosen on +4 other images$", shown, re.MULTILINE)
    assert re.search(r"^left in fp32 +nothing more$", shown, re.MULTILINE)
    assert re.search(r"^limit +less than 60 points are lost$", shown, re.MULTILINE)
    assert (tmp_path / "int8.quantized.json").exists()
    with pytest.raises(UsageError, match=r"it takes 146, 73 that choose .* name 49 points"):
        run(*words, "--max-drop", 5, "-o", tmp_path / "int8.onnx", "--cache-dir", tmp_path / "c")
