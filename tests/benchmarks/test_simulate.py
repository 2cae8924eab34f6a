import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "local"])
def test_the_plan_runs_on_simulated_nodes(executor):
    # Ray is started in another way than for the other tests, so in a process of its own
    command = [sys.executable, "-m", "benchmarks.simulate", "--actors", "2", "--nodes", "2"]
    command += [
        "--seconds-an-image",
        "0.01",
        "--shards",
        "40",
        "--seconds",
        "8",
        "--executor",
        executor,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["chunk_seconds"] == pytest.approx(1.0)
    assert 0.3 < found["of_ideal"] < 1.3
    assert found["actor_bytes"] > 20 * 2**20
    assert found["driver_bytes"] > found["driver_growth"]
