"""The program that measures what weights take, on a small network."""

import subprocess
import sys
from pathlib import Path

import onnx

from vggbatch.models.synthesis import synthesize

ROOT = Path(__file__).parents[2]


def test_the_weights_of_two_processes_are_shared(tmp_path):
    onnx.save(synthesize("vgg16-12", shrink=4, size=32), tmp_path / "net.onnx")
    command = [sys.executable, "-m", "benchmarks.weight_memory", tmp_path / "net.onnx"]
    command += ["--cache-dir", tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    one, two = ([cell.strip() for cell in row.split("|")] for row in done.stdout.splitlines()[2:])
    assert (one[2], two[2]) == ("1", "2")
    stored = sum(file.stat().st_size for file in tmp_path.glob("cache/prepared/*/model.data"))
    for row in (one, two):
        assert 0.2 * stored / 2**20 < float(row[3]) < 1.01 * stored / 2**20
    assert float(two[3]) < 1.1 * float(one[3])
