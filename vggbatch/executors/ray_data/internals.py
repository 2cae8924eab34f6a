"""Every private name of Ray Data and of Ray's actors that this package uses, and no other module.

Nothing public does as much. Each use is guarded: without it a run works, and a line in the log
says what is lost. Those of a cluster are in pipeline/ray_internals.py, which has to do without
Ray Data.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from contextlib import suppress
from typing import Any

import ray
from ray.data import DataContext, Dataset

from vggbatch.executors.ray_data.stages import STAGES, Stage

_Callback: Any = None
_Policy: Any = None
policies: Any = None
with suppress(ImportError):
    from ray.data._internal.execution.execution_callback import ExecutionCallback as _Callback
with suppress(ImportError):
    from ray.data._internal.execution import backpressure_policy as policies
    from ray.data._internal.execution.backpressure_policy.backpressure_policy import (
        BackpressurePolicy as _Policy,
    )

_log = logging.getLogger(__name__)

_QUEUE = 16
"""Chunks that may always wait for a stage."""
_QUEUE_A_TASK = 4
"""Chunks that may wait for each task or actor of a stage."""


class Stopped(Exception):
    """Raised inside of Ray Data to end a pass that is not wanted any more."""


class Control:
    """What this process wants of the pass at work in it."""

    def __init__(self) -> None:
        self.executor: weakref.ref[Any] | None = None
        self.wanted_classifiers = 0
        """Classifiers that the run has cores for; 0: as Ray Data likes."""
        self.stop = threading.Event()


_control = Control()


def want_classifiers(count: int) -> None:
    """Let the passes have so many classifiers, if there are chunks for them; 0: as Ray Data likes.

    Ray Data's own autoscaler adds one only out of the CPUs that the reserves it makes for every
    stage leave: of two nodes with a CPU each, the second would stay idle.
    """
    _control.wanted_classifiers = count


def stop_pass(stop: bool) -> None:
    """End the pass at work at its next step; False: let passes run."""
    (_control.stop.set if stop else _control.stop.clear)()


def read_stages() -> dict[str, Stage] | None:
    """The stages of the pass at work in this process, by name; empty between passes.

    Returns:
        None where this version of Ray Data does not say.
    """
    executor = _control.executor() if _control.executor is not None else None
    if executor is None:
        return {}
    try:
        states = list(executor._topology.items())[1:]  # without the input
        return {
            name: _stage(operator, state)
            for name, (operator, state) in zip(STAGES, states, strict=True)
        }
    except Exception:
        return None


def starting_classifiers() -> int:
    """Classifiers of this process that have a place on a node and are not ready yet.

    Returns:
        0 also where this Ray, or a client connection, does not say: no more than a detail of a line
        about waiting is lost.
    """
    try:
        job = ray.JobID(bytes.fromhex(ray.get_runtime_context().get_job_id()))
        found = ray._private.state.actors(job_id=job, actor_state_name="PENDING_CREATION")
        return sum(
            "Classify" in actor["ActorClassName"] and bool(actor["Address"]["IPAddress"])
            for actor in found.values()
        )
    except Exception:
        return 0


class _Hold(_Callback or object):  # type: ignore[misc]
    """Ray Data makes this object itself, out of its class alone, and calls it in its own thread."""

    def before_execution_starts(self, executor: Any) -> None:
        _control.executor = weakref.ref(executor)

    def on_execution_step(self, executor: Any) -> None:
        if _control.stop.is_set():
            raise Stopped
        forget_blocks(executor)
        try:
            _add_classifiers(executor, _control.wanted_classifiers)
        except Exception as error:
            want_classifiers(0)
            _log.warning("with this Ray Data classifiers do not follow the nodes: %s", error)

    def after_execution_succeeds(self, executor: Any) -> None:
        _control.executor = None

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        _control.executor = None


class _ShortQueues(_Policy or object):  # type: ignore[misc]
    """Makes a stage wait while the next one has enough to do."""

    def can_add_input(self, op: Any) -> bool:
        room = self._room(op)
        return room is None or room > 0

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        room = self._room(op)
        if room is None:
            return None
        if room <= 0:
            return 0
        # all that is there would be read otherwise, which is a whole shard where indexing is quick
        size = op.metrics.average_bytes_per_output
        return max(1, int(room * size)) if size else 1

    def _room(self, op: Any) -> int | None:
        """Chunks more that the next stage takes into its queue; None for the last stage."""
        rooms = [
            max(_QUEUE, _QUEUE_A_TASK * _width(after))
            - self._topology[after].total_enqueued_input_blocks()
            for after in op.output_dependencies
        ]
        return min(rooms, default=None)


def observe(context: DataContext) -> None:
    """Let passes under this context be seen and stopped, and let classifiers follow the nodes."""
    if _Callback is None or not hasattr(context, "custom_execution_callback_classes"):
        _log.warning(
            "this version of Ray Data does not show its stages: classifiers do not follow the "
            "nodes, and a run that waits cannot say what it waits for"
        )
        return
    before = context.custom_execution_callback_classes
    context.custom_execution_callback_classes = [*before, _Hold]


def bound_queues(context: DataContext) -> None:
    """Keep the driver's memory flat however many chunks there are.

    Ray Data bounds its queues by bytes in the object stores alone. Each chunk in a queue also takes
    tens of kB of the driver, and an indexed one next to nothing of a store: on a large cluster all
    chunks of a billion images would be indexed at once.
    """
    try:
        assert _Policy is not None, "it has other policies"
        enabled = [*policies.ENABLED_BACKPRESSURE_POLICIES, _ShortQueues]
        context.set_config(policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, enabled)
    except (AssertionError, AttributeError) as error:
        _log.warning(
            "with this version of Ray Data the driver's memory may grow with the input: %s", error
        )


def retry_options(**limits: int) -> dict[str, Any]:
    """Limits of retries as arguments of `Dataset.map_batches`, where it takes them.

    Ray 2.64 takes them away. Without them an image that kills its process is tried until the pass
    has had no progress for too long, and then with care in the next one: only time is lost.
    """
    taken = inspect.signature(Dataset.map_batches).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        return limits
    return {}


def forget_blocks(executor: Any) -> None:
    """Drop what Ray Data keeps of every block that was, for a summary that nothing reads."""
    for operator in getattr(executor, "_topology", ()):
        getattr(operator, "_output_blocks_stats", []).clear()


def _width(op: Any) -> int:
    """Tasks or actors that a stage has at once."""
    pools = op.get_autoscaling_actor_pools()
    if pools:
        return sum(pool.current_size() for pool in pools)
    return op.get_max_concurrency_limit() or 0


def _add_classifiers(executor: Any, wanted: int) -> None:
    from ray.data._internal.actor_autoscaler import ActorPoolScalingRequest

    for operator, state in executor._topology.items():
        for pool in operator.get_autoscaling_actor_pools():
            missing = min(wanted - pool.current_size(), state.total_enqueued_input_blocks())
            if missing > 0:
                reason = "the nodes have cores for more"
                pool.scale(ActorPoolScalingRequest.upscale(delta=missing, reason=reason))


def _stage(operator: Any, state: Any) -> Stage:
    actors = operator.get_actor_info()
    active = sum(pool.num_active_actors() for pool in operator.get_autoscaling_actor_pools())
    return Stage(
        waiting=state.total_enqueued_input_blocks(),
        running=operator.num_active_tasks(),
        actors=actors.running,
        pending=actors.pending + actors.restarting,
        restarting=actors.restarting,
        busy=max(0, active - actors.restarting),
    )
