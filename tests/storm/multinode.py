"""A run on a real cluster of several nodes on this machine, one of which dies in mid-run.

    python -m tests.storm.multinode FOLDER MODE

MODE: `lose` kills a node, `replace` kills one and adds another, `grow` adds one. Prints one line of
JSON: rows, distinct rows, nodes at the end, seconds.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.cluster_utils import Cluster

from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.config import load_config

IMAGES = 600


def main() -> None:
    """Run it."""
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    write_folder(folder / "images", IMAGES)
    net = color_net(folder / "net.onnx")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    struck = threading.Event()

    def watch(snapshot: api.Snapshot) -> None:
        if snapshot.rows > IMAGES // 6:
            struck.set()
        time.sleep(0.05)  # so that the rest is still to be done when the node goes

    options = {"input": (str(folder / "images"),), "model": str(net), "output": str(folder / "out")}
    config = load_config(options=options, settings=["chunk_size=4"], environ={})
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(api.score, config, on_progress=watch)
        # nodes can be added from the main thread alone
        while not struck.wait(0.1) and not run.done():
            pass
        if mode != "grow":
            cluster.remove_node(workers[0], allow_graceful=False)
        if mode != "lose":
            cluster.add_node(num_cpus=1)
        run.result()
    ids = api.load_predictions(config.output, ["image_id"])["image_id"].to_pylist()
    result = {
        "rows": len(ids),
        "distinct": len(set(ids)),
        "struck": struck.is_set(),
        "nodes": sum(node["Alive"] for node in ray.nodes()),
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result), flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
