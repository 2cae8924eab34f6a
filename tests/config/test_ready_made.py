"""The ready-made configurations and entry points are valid, as far as no data is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from vggbatch.config import load_config
from vggbatch.models.catalog import catalog

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda f: f.stem)
def test_configurations_load(file):
    config = load_config(file, environ={})
    assert config.input
    assert config.output
    assert config.model.name.removesuffix("@synthetic") in catalog()
    assert file.name in file.read_text()


@pytest.mark.parametrize("name", ["score", "evaluate", "quantize", "benchmark"])
def test_jobs_are_the_commands(name):
    done = subprocess.run(
        [sys.executable, ROOT / f"jobs/{name}.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    command = name.removesuffix("mark")
    assert f"{command} [OPTIONS]" in done.stdout
