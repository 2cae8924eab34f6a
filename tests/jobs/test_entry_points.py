"""The scripts that a cluster runs are the commands; on a cluster: cli/test_submit.py."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["score", "evaluate"])
def test_a_script_is_its_command(name, tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, check=False
        )

    script = Path("jobs", f"{name}.py").absolute()
    assert f"vggbatch {name}" in run("-m", "vggbatch", name, "--help").stdout
    shown = run(script, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"{name} [OPTIONS]" in shown.stdout
    wrong = run(script, "nowhere", "-o", "out")
    assert wrong.returncode == 2
    assert "error:" in wrong.stderr
    assert "Traceback" not in wrong.stderr
