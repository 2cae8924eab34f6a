"""Nodes that die and nodes that come, on a real cluster of several nodes on this machine."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "nodes"), [("lose", 2), ("replace", 3), ("grow", 4)])
def test_the_run_goes_on_by_itself(tmp_path, mode, nodes):
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm.multinode", tmp_path, mode],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    assert found["struck"], "the run ended before the node did"
    assert (found["rows"], found["distinct"]) == (600, 600)
    assert found["nodes"] == nodes
