"""A cluster of several nodes, each with a cache and files of its own, in a process of its own."""

import json
import subprocess
import sys
import textwrap

import pytest
import ray

from vggbatch.config import ModelOptions
from vggbatch.executors.ray_data import model_broadcast
from vggbatch.executors.ray_data.model_broadcast import broadcast_models
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve


def test_a_shipment_gives_the_files_in_blocks(net, ray_cluster, monkeypatch):
    monkeypatch.setattr(model_broadcast, "BLOCK", 100_000)
    model = resolve(ModelOptions(name=str(net)))
    (broadcast,) = broadcast_models([model], None)
    assert len(broadcast.blocks[net.name]) == -(-net.stat().st_size // 100_000)
    assert b"".join(broadcast(net.name)) == net.read_bytes()


def test_what_every_node_gets_itself_is_not_shipped(net, ray_cluster, tmp_path):
    assert broadcast_models([resolve(ModelOptions(name="vgg16-12@synthetic"))], None) == [None]


def test_a_shipped_model_is_prepared_where_its_path_means_nothing(
    net, ray_cluster, tmp_path, monkeypatch
):
    own = tmp_path / "net.onnx"
    own.write_bytes(net.read_bytes())
    model = resolve(ModelOptions(name=str(own)))
    (broadcast,) = broadcast_models([model], None)
    own.write_bytes(b"another model under the same path, as on a machine of somebody else's")

    @ray.remote
    def on_a_node():
        return str(prepare(model, cache_dir=str(tmp_path / "cache"), source=broadcast).path)

    assert ray.get(on_a_node.remote()).startswith(str(tmp_path / "cache"))


@pytest.mark.slow
def test_every_node_keeps_one_copy_of_a_model_that_the_driver_alone_has(tmp_path):
    code = """
    import json, os, sys
    from pathlib import Path

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster
    from tests.support.images import write_folder
    from tests.support.nets import color_net
    from vggbatch import api
    from vggbatch.config import load_config

    folder = Path(sys.argv[1])
    write_folder(folder / "images", 120)
    cluster = Cluster()
    for node in "abc":
        # what a node's processes inherit: a folder of each
        os.environ["VGGBATCH_CACHE_DIR"] = str(folder / node)
        cluster.add_node(num_cpus=1, include_dashboard=False)
    os.environ["VGGBATCH_CACHE_DIR"] = str(folder / "driver")
    ray.init(address=cluster.address, log_to_driver=False)
    # the folder of the driver's process, which other machines would not see
    secret = folder / "driver-only"
    secret.mkdir()
    net = color_net(secret / "net.onnx")
    options = {"input": (str(folder / "images"),), "model": str(net), "output": str(folder / "o")}
    config = load_config(options=options, settings=["chunk_size=4"], environ={})
    from vggbatch.executors.ray_data import model_broadcast

    def broadcast_and_hide(models, cache_dir):
        broadcasts = hidden(models, cache_dir)
        net.unlink()
        return broadcasts

    hidden, model_broadcast.broadcast_models = model_broadcast.broadcast_models, broadcast_and_hide
    done = api.score(config)
    copies = {node: len(list((folder / node).rglob("model.onnx"))) for node in "abc"}
    rows = api.load_predictions(config.output, ["error"])
    scored = rows["error"].null_count
    print(json.dumps({"copies": copies, "scored": scored, "actors": done.result.placement.actors}))
    ray.shutdown()
    cluster.shutdown()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"copies": {"a": 1, "b": 1, "c": 1}, "scored": 120, "actors": 3}
