"""Private names of Ray: where they are, whether the installed Ray has them, what goes without."""

import ast
import logging
from pathlib import Path

import ray
from ray.data import DataContext

import vggbatch
from vggbatch.executors.ray_data import internals

ROOT = Path(vggbatch.__file__).parent
HOMES = {
    "executors/ray_data/internals.py",
    # below the executors: what a cluster needs before Ray Data is there
    "cluster/connection.py",
    "cluster/private_ray.py",
}
METHODS = (
    "total_enqueued_input_blocks",
    "get_autoscaling_actor_pools",
    "get_actor_info",
    "num_active_tasks",
    "get_max_concurrency_limit",
)


def private_names(path):
    """The private names of Ray in a file: modules that it imports, attributes of `ray`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [n for alias in node.names for n in alias.name.split(".")]
            names = names if names[0] == "ray" else []
        elif isinstance(node, ast.Attribute):
            names = ast.unparse(node).split(".")
            names = (
                names if names[0] in ("ray", "DataContext", "operator", "op", "executor") else []
            )
        else:
            continue
        yield from (name for name in names if name.startswith("_") and not name.startswith("__"))


def test_they_are_in_one_place():
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if any(private_names(path))}
    assert found <= HOMES
    assert "executors/ray_data/internals.py" in found


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
    assert internals.retry_options(max_retries=3) == {"max_retries": 3}
    assert callable(ActorPoolScalingRequest.upscale)
    assert [
        n for n in METHODS if not hasattr(PhysicalOperator, n) and not hasattr(OpState, n)
    ] == []
    assert callable(ray._private.state.actors)


def test_without_them_a_run_works_and_says_what_is_lost(monkeypatch, caplog):
    monkeypatch.setattr(internals, "_Callback", None)
    monkeypatch.setattr(internals, "_Policy", None)
    context = DataContext.get_current().copy()
    before = list(context.custom_execution_callback_classes)
    internals.observe(context)
    internals.bound_queues(context)
    assert context.custom_execution_callback_classes == before
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "classifiers do not follow the nodes" in said
    assert "memory may grow" in said
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_limits_of_retries_go_where_they_are_not_taken(monkeypatch):
    def map_batches(self, fn, *, num_cpus=None):
        raise NotImplementedError

    monkeypatch.setattr(internals.Dataset, "map_batches", map_batches)
    assert internals.retry_options(max_retries=3) == {}
