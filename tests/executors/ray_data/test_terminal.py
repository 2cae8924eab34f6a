"""A run on a cluster, seen from where it shows: the terminal of a command."""

import signal
import time

import pytest

from tests.support.images import write_folder
from tests.support.ray.cluster import command, ray_nodes


@pytest.mark.slow
def test_a_run_on_a_cluster_prints_nothing_of_ray(net, tmp_path):
    write_folder(tmp_path / "images", 60)
    options = ["--set", "chunk_size=2"]
    with ray_nodes(2) as nodes:

        def score(output):
            words = ["score", tmp_path / "images", "-m", net, "-o", output]
            return command(*words, "--address", nodes.address, *options)

        whole = score(tmp_path / "whole")
        _, said = whole.communicate(timeout=170)
        assert whole.returncode == 0, said
        # plain lines of progress come only where it is slow
        lines = {line.split(",")[0].split(" of ")[-1] for line in said.splitlines()}
        assert {line for line in lines if "no progress" not in line} == {"60 images"}
        ended = score(tmp_path / "ended")
        deadline = time.monotonic() + 100
        while not list(tmp_path.glob("ended/_vggbatch/*/staging/*/*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ended.send_signal(signal.SIGTERM)
        _, said = ended.communicate(timeout=100)
    assert ended.returncode == 143
    last = said.splitlines()[-1]
    assert (
        last == "error: terminated: what is committed stays, the same command continues from there"
    )
    assert all(" images" in line for line in said.splitlines()[:-1]), said
