"""What `vggbatch doctor` shows for a bug report, and that nothing secret is in it."""

import json
import os

import pytest
from typer.testing import CliRunner

import vggbatch
from vggbatch.cli import app

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI0secret",
    "RAY_AUTH_TOKEN": "token0secret",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=account0secret",
    "VGGBATCH_MIRRORS": "https://user:password0secret@host/zoo?sig=signature0secret",
    "HF_TOKEN": "hf_0secret0secret0secret0secret",
    "HTTPS_PROXY": "http://user:proxy0secret@host",
}


def doctor(*words):
    return CliRunner().invoke(app, ["doctor", *words])


@pytest.fixture
def secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_everything_that_a_bug_report_needs(secrets):
    done = doctor("--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["vggbatch"] == vggbatch.__version__
    assert {"numpy", "onnxruntime", "ray", "pillow", "s3fs"} <= found["packages"].keys()
    assert "pytest" not in found["packages"]
    assert "CPUExecutionProvider" in found["onnxruntime"]["providers"]
    assert int(found["machine"]["cores for a run"]) >= 1
    assert found["cache"]["folder"] == os.environ["VGGBATCH_CACHE_DIR"]
    assert found["environment"]["AWS_SECRET_ACCESS_KEY"] == "set"
    assert found["problems"] == []


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_nothing_secret_is_shown(words, secrets):
    output = doctor(*words).output
    assert "VGGBATCH_MIRRORS" in output
    assert "0secret" not in output


def test_stores_are_tried(tmp_path):
    (tmp_path / "a").write_text("")
    done = doctor(str(tmp_path), "--write")
    assert done.exit_code == 0
    assert "can be listed (1 entries) and written" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_does_not_work_is_a_problem_and_a_status(tmp_path):
    done = doctor(str(tmp_path / "nowhere"), "ftp://host/x")
    assert isinstance(done.exception, vggbatch.JobFailed)
    assert "nowhere: No such file or directory" in done.stderr
    assert "ftp" in str(done.exception)


def test_a_cache_that_others_can_write_to_is_a_problem(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.setenv("VGGBATCH_CACHE_DIR", str(cache))
    assert "can be written by others" in vggbatch.diagnose().problems[0]
