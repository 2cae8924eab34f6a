"""Runs on a cluster that is joined: alone on its node where that is soon done, or with Ray Data."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from tests.cluster import ENVIRON, command, ray_nodes
from tests.images import write_folder
from tests.pipeline.test_preflight import OTHER_VERSION, customised
from vggbatch import api
from vggbatch.config import ComputeOptions, load_config
from vggbatch.pipeline.alone import seconds_alone
from vggbatch.pipeline.placement import place

COUNT = 60
SCORE = """
import json, sys, time
from vggbatch import api
from vggbatch.config import load_config
images, net, output, *settings = sys.argv[1:]
counted = None

def listen(snapshot):
    # Ray hands metrics on every ten seconds, and not those of a driver that has left
    global counted
    if snapshot.rows < snapshot.total or counted is not None:
        return
    from tests.pipeline.test_telemetry import series
    deadline = time.monotonic() + 150
    while counted != snapshot.total and time.monotonic() < deadline:
        time.sleep(0.5)
        counted = series("output", output)["ray_vggbatch_images_total"].get((output,))

options = {"input": (images,), "model": net, "output": output, "chunk_size": 4}
config = load_config(options=options, settings=settings, environ={})
result = api.score(config, listener=listen).result
print(json.dumps([result.rows, result.scored_now, counted, "ray.data" in sys.modules]))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_folder(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def expected(net, images, tmp_path_factory):
    """The rows of a run without a cluster."""
    output = tmp_path_factory.mktemp("here") / "out"
    options = {"input": (str(images),), "model": str(net), "output": str(output)}
    api.score(load_config(options=options, settings=["chunk_size=4"], environ={}))
    return api.load_predictions(str(output))


@pytest.fixture(scope="module")
def nodes():
    with ray_nodes(2) as cluster:
        yield cluster


def score(nodes, images, net, output, *settings):
    """Rows, those of them scored now, those that the metrics count, whether Ray Data was used."""
    words = [sys.executable, "-c", SCORE, images, net, output, *settings]
    done = subprocess.run(
        [*map(str, words), f"compute.address={nodes.address}"],
        capture_output=True,
        text=True,
        env=os.environ | ENVIRON,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_short_run_is_done_on_this_node_without_ray_data(nodes, images, net, expected, tmp_path):
    assert score(nodes, images, net, tmp_path / "out") == [COUNT, COUNT, COUNT, False]
    assert api.load_predictions(str(tmp_path / "out")).equals(expected)
    record = api.load_run(str(tmp_path / "out"))
    assert record["placement"]["cpus"] == 2
    assert nodes.held() == 0


def test_ray_after_0_lets_the_cluster_do_it(nodes, images, net, expected, tmp_path):
    done = score(nodes, images, net, tmp_path / "out", "compute.ray_after=0")
    assert done == [COUNT, COUNT, COUNT, True]
    assert api.load_predictions(str(tmp_path / "out")).equals(expected)
    assert nodes.held() == 0


def test_checks_that_fail_leave_nothing(nodes, images, net, tmp_path):
    """Their child, which had the networks open, is gone, and no image was read."""
    other = nodes.add(env=customised(tmp_path / "other", OTHER_VERSION))
    mark = {"TEST_RUN": str(tmp_path)}
    output = tmp_path / "out"
    try:
        run = command(
            *("score", images, "-o", output, "-m", net, "--address", nodes.address), **mark
        )
        _, said = run.communicate(timeout=120)
    finally:
        nodes.kill(other)
    assert run.returncode == 2, said
    assert "has vggbatch 0.0.1" in said
    left = {path.name for path in output.rglob("*") if path.is_file()}
    assert left == {"plan.json", "shards.parquet", "shards.mark"}
    assert processes_with(mark) == []
    assert nodes.held() == 0


def processes_with(mark):
    found = []
    for process in psutil.process_iter():
        try:
            if mark.items() <= process.environ().items():
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def test_on_more_nodes_ray_data_is_soon_worth_its_start():
    options = ComputeOptions(threads=1)
    work = SimpleNamespace(classifiers=2)
    assert seconds_alone(options, work, place([2.0], options)) == options.ray_after
    assert seconds_alone(options, work, place([2.0, 2.0], options)) == 10
    short = options.model_copy(update={"ray_after": 3})
    assert seconds_alone(short, work, place([2.0, 2.0], short)) == 3
