"""A run that gets nowhere says why: on real Ray, and for what is hard to provoke from a view."""

import threading
import time

import pytest
import ray

from tests.support.images import write_folder
from vggbatch import api
from vggbatch.cluster.connection import Cluster
from vggbatch.cluster.internals import starting_actors
from vggbatch.cluster.placement import place
from vggbatch.config import ComputeOptions, load_config
from vggbatch.executors.ray_data.first_node import await_node
from vggbatch.executors.ray_data.stages import Stage
from vggbatch.executors.ray_data.wait import ClusterSnapshot as View
from vggbatch.executors.ray_data.wait import describe_wait
from vggbatch.executors.ray_data.watchdog import Watchdog
from vggbatch.runs.progress import stillness

IDLE = Stage(waiting=0, running=0)
PLACEMENT = place([4.0], ComputeOptions(threads=2))


def stages(**changes):
    return {name: changes.get(name, IDLE) for name in ("index", "decode", "classify", "write")}


PENDING = Stage(waiting=3, running=0, actors=0, pending=2)
WORKING = Stage(waiting=3, running=4, actors=2, pending=1, restarting=1, busy=2)
ELSEWHERE = Stage(waiting=0, running=2, actors=2, pending=1, restarting=1)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View((), 0, {}), "a node to join"),
        (View((0.0,), 0, stages(classify=PENDING)), "a node to join"),
        (View((4.0,), 0.5, stages(classify=PENDING)), "takes 1.96, others hold 3.5 of the"),
        (View((1.0, 1.0), 2, stages(classify=PENDING)), "a larger node to join"),
        (View((4.0,), 4, stages(classify=PENDING)), "2 classifiers to start and open the model"),
        (View((4.0,), 0, stages(classify=WORKING)), "2 classifiers at work on 4 chunks"),
        (View((4.0,), 0, stages(decode=Stage(9, 1))), "the input's store: 1 chunk to read"),
        (View((4.0,), 0, stages(write=Stage(1, 2))), "the output's store: 3 chunks to write"),
        (View((4.0,), 0, stages(index=Stage(0, 1))), "the input's store: 1 task at work on index"),
        (View((4.0,), 4, {}), "Ray Data to start the stages"),
        (View((4.0,), 0, {}), "takes 1.96, others hold 4 of the"),
        (View((4.0,), 2, stages(classify=ELSEWHERE)), "1 classifier to start again elsewhere"),
        (View((4.0,), 2, stages(), silent=("b",)), "a node to answer, or to be given up by Ray: b"),
        (View((4.0,), 2, {}, silent=tuple("abcd")), "4 nodes to answer, or to be given up by Ray"),
        (View((4.0,), 0, stages(classify=PENDING), starting=2), "2 classifiers to start and open"),
        (View((4.0,), 3, None), "results (3 of 4 CPUs are free)"),
    ],
)
def test_the_reason_follows_from_what_is_seen(view, words):
    assert words in describe_wait(view, PLACEMENT)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_run_whose_cpus_another_holds_says_so_and_goes_on_when_it_can(net, tmp_path, monkeypatch):
    monkeypatch.setattr(stillness, "STILL_S", 3.0)
    monkeypatch.setattr(stillness, "AGAIN_S", 2.0)
    monkeypatch.setattr(Watchdog, "look", 0.5)
    monkeypatch.setattr(Watchdog, "quiet", 1.0)
    names = write_folder(tmp_path / "images", 5)
    options = {"input": (str(tmp_path / "images"),), "model": str(net)}
    config = load_config(options={**options, "output": str(tmp_path / "out")}, environ={})
    holder = ray.remote(num_cpus=2)(Holder).remote()
    ray.get(holder.ready.remote())
    told = threading.Event()
    notes = []

    def listen(snapshot):
        if snapshot.note:
            notes.append(snapshot.note)
        if "CPUs" in (snapshot.note or ""):
            told.set()

    def let_go():
        told.wait(60)
        ray.kill(holder)

    releasing = threading.Thread(target=let_go)
    releasing.start()
    scored = api.score(config, on_progress=listen)
    releasing.join()
    blocked = [note for note in notes if "CPUs" in note]
    assert blocked[0].startswith("no progress for ")
    assert blocked[0].endswith("a classifier takes 0.98, others hold 2 of the cluster's 2")
    assert scored.result.rows == len(names)


class Classify:
    """A classifier whose model takes long to open."""

    def __init__(self):
        time.sleep(120)


@pytest.mark.usefixtures("ray_cluster")
def test_classifiers_that_start_are_not_mistaken_for_others():
    """They hold all CPUs, as others would."""
    actor = ray.remote(num_cpus=2)(Classify).remote()
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0.0) > 0.1 or not starting_actors("Classify"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert starting_actors("Classify") == 1
    ray.kill(actor)


class Holder:
    """Holds what CPUs it was given."""

    def ready(self):
        return True


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_without_workers_is_waited_for():
    notes = []
    found = await_node(Cluster([0.0], own=False), notes.append)
    assert found.node_cpus == [2.0]
    assert notes == ["waiting for a node to join: the cluster has none with a logical CPU"]


def test_an_own_cluster_is_never_waited_for():
    cluster = Cluster([0.0], own=True)
    assert await_node(cluster, pytest.fail) is cluster
