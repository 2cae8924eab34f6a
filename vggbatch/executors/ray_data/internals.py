"""Every private name of Ray Data that this package uses, and no other module.

Nothing public does as much. Each use is guarded: without it a run works, and a line in the log
says what is lost, once a run. Those of Ray below it are in cluster/internals.py.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ray.data import DataContext, Dataset

from vggbatch.executors.ray_data.pace import Pace
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
_BLIND = "it cannot be seen what a run waits for"
_BUSY = "the driver takes more of a core"
_FIXED = "classifiers do not follow the nodes"
_GROWING = "the driver's memory may grow with the input"
_PATIENT = "an image that kills its process is found only after a while without progress"

_reported: set[str] = set()
"""What was said to be lost in this run."""


def _report(lost: str, why: object) -> None:
    if lost not in _reported:
        _reported.add(lost)
        _log.warning("with this version of Ray Data %s (%s)", lost, why)


class Stopped(Exception):
    """Raised inside of Ray Data to end a pass that is not wanted any more."""


class Control:
    """What this process wants of the pass at work in it."""

    def __init__(self) -> None:
        self.executor: weakref.ref[Any] | None = None
        self.wanted_classifiers = 0
        """Classifiers that the run has cores for; 0: as Ray Data likes."""
        self.stages: Sequence[str] = STAGES
        """Those that the plan of the pass has, in its order."""
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


def name_stages(stages: Sequence[str]) -> None:
    """Say which stages the plan of the next pass has, in its order; the others have been done."""
    _control.stages = stages


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
        return dict.fromkeys(STAGES, Stage(0, 0)) | {
            name: _stage(operator, state)
            for name, (operator, state) in zip(_control.stages, states, strict=True)
        }
    except Exception as error:
        _report(_BLIND, error)
        return None


class _Hold(_Callback or object):  # type: ignore[misc]
    """Ray Data makes this object itself, out of its class alone, and calls it in its own thread."""

    def __init__(self) -> None:
        self._pace = Pace()

    def before_execution_starts(self, executor: Any) -> None:
        _control.executor = weakref.ref(executor)

    def on_execution_step(self, executor: Any) -> None:
        if _control.stop.is_set():
            raise Stopped
        forget_blocks(executor)
        try:
            _add_classifiers(executor, _control.wanted_classifiers)
        except Exception as error:
            _report(_FIXED, error)
        _control.stop.wait(self._rest(executor))

    def _rest(self, executor: Any) -> float:
        """Seconds until the next step."""
        try:
            stages = {
                operator: (operator.num_active_tasks(), operator.metrics.num_task_outputs_generated)
                for operator in list(executor._topology)[1:]
            }
        except Exception as error:
            _report(_BUSY, error)
            return 0.0
        return self._pace.rest(time.monotonic(), stages)

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
        size = getattr(op.metrics, "average_bytes_per_output", None)
        return max(1, int(room * size)) if size else 1

    def _room(self, op: Any) -> int | None:
        """Chunks more that the next stage takes into its queue; None without a limit."""
        try:
            rooms = [
                max(_QUEUE, _QUEUE_A_TASK * _width(after))
                - self._topology[after].total_enqueued_input_blocks()
                for after in op.output_dependencies
            ]
        except Exception as error:
            _report(_GROWING, error)
            return None
        return min(rooms, default=None)


def observe(context: DataContext) -> None:
    """Let passes under this context be seen and stopped, and let classifiers follow the nodes."""
    _reported.clear()
    if _Callback is None or not hasattr(context, "custom_execution_callback_classes"):
        for lost in (_BLIND, _FIXED, _GROWING, _BUSY):
            _report(lost, "it calls nothing back")
        return
    for name in _unknown_to(_Callback, _Hold):
        for lost in (_BLIND, _FIXED, _GROWING, _BUSY):
            _report(lost, f"it does not call {name}")
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
        for name in _unknown_to(_Policy, _ShortQueues):
            _report(_GROWING, f"it does not call {name}")
        enabled = [*policies.ENABLED_BACKPRESSURE_POLICIES, _ShortQueues]
        context.set_config(policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, enabled)
    except (AssertionError, AttributeError) as error:
        _report(_GROWING, error)


def _unknown_to(base: type, own: type) -> list[str]:
    """The public methods of a class that its base does not have, and so does not call."""
    names = [name for name in vars(own) if not name.startswith("_")]
    return [name for name in names if not hasattr(base, name)]


def set_options(mapped: Dataset, **wanted: int) -> Dataset:
    """Say how the tasks, or the actors and calls to them, of the last stage of a plan are run.

    `Dataset.map_batches` takes these options until Ray 2.64, which has no named argument for them;
    where it keeps what it was given they can be put in any version. Without limits of retries an
    image that kills its process is tried until the pass has had no progress for too long, and then
    with care in the next one; without calls at once an actor does what it could do beside each
    other in turn: only time is lost.

    Args:
        mapped: what `map_batches` gave.
        wanted: options of `ray.remote`.

    Returns:
        The same.
    """
    try:
        options = mapped._logical_plan.dag.ray_remote_args  # type: ignore[attr-defined]
        options |= wanted
    except Exception as error:
        _report(_PATIENT, error)
    return mapped


def forget_blocks(executor: Any) -> None:
    """Drop what Ray Data keeps of every block that was, for a summary that nothing reads."""
    try:
        for operator in executor._topology:
            kept = getattr(operator, "_output_blocks_stats", None)
            if kept is not None:
                kept.clear()
    except Exception as error:
        _report(_GROWING, error)


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
