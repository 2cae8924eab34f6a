"""What Ray Data says of the stages of a real run, while it runs."""

from dataclasses import replace

import pytest

from tests.support.images import write_folder
from tests.support.nets import slow_net
from vggbatch import api
from vggbatch.cluster import preflight
from vggbatch.cluster.placement import place
from vggbatch.config import load_config
from vggbatch.executors.ray_data.internals import read_stages
from vggbatch.executors.ray_data.stages import STAGES
from vggbatch.executors.ray_data.watchdog import Watchdog


@pytest.mark.usefixtures("ray_cluster")
def test_the_stages_are_seen_while_a_run_goes_on(net, tmp_path):
    write_folder(tmp_path / "images", 30)
    options = {"input": (str(tmp_path / "images"),), "model": str(net)}
    options |= {"output": str(tmp_path / "out"), "compute.actors": 1}
    config = load_config(options=options, settings=["chunk_size=1"], environ={})
    seen = []
    api.score(config, on_progress=lambda snapshot: seen.append((snapshot.rows, read_stages())))
    during = [(rows, stages) for rows, stages in seen if stages]
    assert during, "no look came while a pass was at work"
    assert all(tuple(stages) == STAGES for _, stages in during)
    assert max(stages["classify"].actors for _, stages in during) == 1
    for rows, stages in during:
        # a chunk of one image is done or waits in front of one stage; a task may still be listed
        # when it has given its chunk away
        waiting = sum(stages[name].waiting for name in STAGES[1:])
        assert rows + waiting <= 30
    assert read_stages() == {}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_pool_of_classifiers_follows_what_the_nodes_have_cores_for(tmp_path, monkeypatch):
    """Ray Data alone keeps it at one: two of 0.98 CPUs leave too little of two for its reserves."""
    monkeypatch.setattr(preflight, "place", one_of_two)
    monkeypatch.setattr(Watchdog, "look", 0.5)
    write_folder(tmp_path / "images", 120)
    net = slow_net(tmp_path / "net.onnx")
    options = {"input": (str(tmp_path / "images"),), "model": str(net)}
    options |= {"output": str(tmp_path / "out")}
    config = load_config(options=options, settings=["chunk_size=1"], environ={})
    seen = []
    scored = api.score(config, on_progress=lambda _: seen.append(read_stages() or {}))
    assert scored.result.rows == 120
    assert max(stages["classify"].actors for stages in seen if stages) == 2


def one_of_two(*nodes, **what):
    """As if the second core had come after the start."""
    return replace(place(*nodes, **what), actors=1, max_actors=2)
