"""A head without CPUs whose autoscaler starts nodes on this machine, and ends them.

Ray's own autoscaler with the provider that Ray tests it with (`fake_multinode`): its nodes are real
raylets, children of the autoscaler's process on the head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)

from tests.support.ray.ray_nodes import RayNodes

IDLE_SECONDS = 12
"""After so long without work a node is taken away."""
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
"""What machines would run: must be there, though these run nothing."""
_ENVIRON = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    # the version that KubeRay and `ray up` take
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
}


@contextlib.contextmanager
def autoscaling_nodes(folder: Path, *, most: int, **environ: str) -> Iterator[RayNodes]:
    """A cluster that has a head, and between none and `most` workers of one CPU each."""
    config = {
        "cluster_name": "fake",
        "max_workers": most,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_SECONDS / 60,
        "provider": {
            # its own type wants a file that Ray's wheels lack
            "type": "external",
            "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
        },
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": 1, "object_store_memory": 100 * 2**20},
                "node_config": {},
                "min_workers": 0,
                "max_workers": most,
            },
        },
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "file_mounts": {},
        "cluster_synced_files": [],
        **{name: [] for name in _COMMANDS},
    }
    cluster = RayNodes(folder, {**_ENVIRON, **environ}, config)
    try:
        yield cluster
    finally:
        cluster.close()
