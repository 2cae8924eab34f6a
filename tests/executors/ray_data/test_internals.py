"""Private names of Ray: where they are, whether the installed Ray has them, what goes without."""

import ast
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray.data import ActorPoolStrategy, DataContext

import vggbatch
from tests.support.images import write_folder
from vggbatch import api
from vggbatch.executors.ray_data import internals

ROOT = Path(vggbatch.__file__).parent
DATA, CORE = "executors/ray_data/internals.py", "cluster/internals.py"
BLIND = "cannot be seen what a run waits for"
BUSY = "takes more of a core"
FIXED = "classifiers do not follow the nodes"
GROWING = "memory may grow"
NAMES = [
    (DATA, "ExecutionCallback", GROWING),
    (DATA, "custom_execution_callback_classes", GROWING),
    (DATA, "before_execution_starts", BLIND),
    (DATA, "on_execution_step", FIXED),
    (DATA, "after_execution_succeeds", BLIND),
    (DATA, "after_execution_fails", BLIND),
    (DATA, "BackpressurePolicy", GROWING),
    (DATA, "ENABLED_BACKPRESSURE_POLICIES", GROWING),
    (DATA, "ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY", GROWING),
    (DATA, "set_config", GROWING),
    (DATA, "can_add_input", GROWING),
    (DATA, "max_task_output_bytes_to_read", GROWING),
    (DATA, "average_bytes_per_output", None),
    (DATA, "output_dependencies", GROWING),
    (DATA, "_topology", BLIND),
    (DATA, "_output_blocks_stats", None),
    (DATA, "total_enqueued_input_blocks", BLIND),
    (DATA, "get_autoscaling_actor_pools", BLIND),
    (DATA, "get_max_concurrency_limit", GROWING),
    (DATA, "get_actor_info", BLIND),
    (DATA, "num_active_actors", BLIND),
    (DATA, "num_active_tasks", BLIND),
    (DATA, "num_task_outputs_generated", BUSY),
    (DATA, "current_size", FIXED),
    (DATA, "ActorPoolScalingRequest", FIXED),
    (DATA, "upscale", None),
    (DATA, "_logical_plan", "an image that kills its process"),
    (DATA, "dag", "an image that kills its process"),
    (DATA, "ray_remote_args", "an image that kills its process"),
    (CORE, "_private", "listens on every interface"),
    (CORE, "ENABLE_RAY_CLUSTER", "listens on every interface"),
    (CORE, "_node_ip_address", "listens on every interface"),
    (CORE, "_py_driver_sys_path", "from the current folder"),
    (CORE, "get_cluster_config", None),
]
"""File, a name that it wants of Ray, and what is said where Ray lacks it: None where what is lost
is a detail of a line, or shows on other clusters than a test's own."""
METHODS = (
    "total_enqueued_input_blocks",
    "get_autoscaling_actor_pools",
    "get_actor_info",
    "num_active_tasks",
    "get_max_concurrency_limit",
)


def private_names(path):
    """The private names in a file that has to do with Ray, but for those of its own objects."""
    text = path.read_text()
    tree = ast.parse(text)
    modules = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if name.split(".")[0] == "ray"
    }
    yield from (name for name in modules if "._" in name)
    if not modules:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = ast.unparse(node.value)
            if not owner.startswith(("self", "cls")) and not node.attr.startswith("__"):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.Constant) and str(node.value).startswith("ray._"):
            yield node.value


def test_they_are_in_two_files():
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if any(private_names(path))}
    assert found == {DATA, CORE}


def test_the_installed_ray_has_them(caplog):
    """A canary: what is missing here is lost, though runs work."""
    from ray.data._internal.actor_autoscaler import ActorPoolScalingRequest
    from ray.data._internal.execution.interfaces import PhysicalOperator
    from ray.data._internal.execution.streaming_executor_state import OpState

    context = DataContext.get_current().copy()
    internals.observe(context)
    internals.bound_queues(context)
    assert not caplog.records
    assert internals._Hold in context.custom_execution_callback_classes
    assert callable(ActorPoolScalingRequest.upscale)
    assert [
        n for n in METHODS if not hasattr(PhysicalOperator, n) and not hasattr(OpState, n)
    ] == []
    assert callable(ray._private.state.actors)


@pytest.mark.usefixtures("ray_cluster")
def test_options_reach_the_stages_of_a_plan(caplog):
    from ray.data._internal.logical.optimizers import get_execution_plan

    class Actor:
        def __call__(self, batch):
            return batch

    mapped = ray.data.from_items([1]).map_batches(lambda batch: batch, num_cpus=0.5)
    mapped = internals.set_options(mapped, max_retries=3)
    pool = ActorPoolStrategy(min_size=1, max_size=1)
    mapped = internals.set_options(mapped.map_batches(Actor, compute=pool), max_task_retries=10)
    actors = get_execution_plan(mapped._logical_plan)
    actors = (actors[0] if isinstance(actors, tuple) else actors).dag
    [tasks] = actors.input_dependencies
    assert actors._ray_remote_args["max_task_retries"] == 10
    assert (tasks._ray_remote_args["max_retries"], tasks._ray_remote_args["num_cpus"]) == (3, 0.5)
    assert not [record for record in caplog.records if record.name.startswith("vggbatch")]


def test_without_them_what_is_lost_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(internals, "_Callback", None)
    monkeypatch.setattr(internals, "_Policy", None)
    context = DataContext.get_current().copy()
    before = list(context.custom_execution_callback_classes)
    internals.observe(context)
    internals.bound_queues(context)
    internals.set_options(object(), max_retries=3)
    internals.forget_blocks(object())
    assert context.custom_execution_callback_classes == before
    said = [record.getMessage() for record in caplog.records]
    for lost in (BLIND, BUSY, FIXED, GROWING, "an image that kills its process"):
        assert [lost in line for line in said].count(True) == 1
    assert all(record.levelno == logging.WARNING for record in caplog.records)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "lost"), NAMES, ids=[name for _, name, _ in NAMES])
def test_a_run_goes_well_without(net, tmp_path, file, name, lost):
    """Each is taken away by itself, from what our module sees of Ray."""
    names = write_folder(tmp_path / "images", 40)
    module = f"vggbatch.{file.removesuffix('.py').replace('/', '.')}"
    words = [module, name, tmp_path / "images", net, tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ray.without", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = api.load_predictions(str(tmp_path / "out"))
    assert sorted(table["image_id"].to_pylist()) == names
    assert table["error"].null_count == 40
    if lost is not None:
        assert lost in done.stdout
