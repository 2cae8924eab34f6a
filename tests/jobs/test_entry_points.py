"""The scripts that a cluster runs are the commands; on a cluster: cli/commands/test_submit.py."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vggbatch.cli import app


@pytest.mark.parametrize(
    ("name", "command", "wrong"),
    [
        ("score", "score", "nowhere -o out"),
        ("evaluate", "evaluate", "nowhere -o out"),
        ("quantize", "models quantize", "nowhere.onnx nowhere -o out.onnx"),
        ("benchmark", "bench", "nowhere --model nowhere.onnx"),
    ],
)
def test_a_script_is_its_command(name, command, wrong, tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, check=False
        )

    script = Path("jobs", f"{name}.py").absolute()
    own = CliRunner().invoke(app, [*command.split(), "--help"])
    assert f"{command} [OPTIONS]" in own.stdout
    shown = run(script, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"{command} [OPTIONS]" in shown.stdout
    refused = run(script, *wrong.split())
    assert refused.returncode == 2
    assert "error:" in refused.stderr
    assert "Traceback" not in refused.stderr
