"""The models commands as typed. Pulling is tested against a real server in tests/models."""

import hashlib

import pytest
from typer.testing import CliRunner

from vggbatch.cli import app
from vggbatch.errors import UsageError
from vggbatch.models import catalog

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


def test_an_unknown_name_has_a_neighbour():
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
