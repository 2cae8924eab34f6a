import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_all_objects_are_found():
    command = [sys.executable, "-m", "benchmarks.store_listing", "--objects", "12345"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["objects"] == 12345
    assert found["core_seconds"] > 0
    assert found["peak_bytes"] > 20 * 2**20
