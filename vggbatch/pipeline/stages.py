"""The stages of the run at work inside Ray Data: what they have to do, how many classifiers."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import Any

from ray.data import DataContext
from ray.data._internal.actor_autoscaler import ActorPoolScalingRequest
from ray.data._internal.execution.execution_callback import ExecutionCallback

from vggbatch.pipeline.backpressure import bound_queues, forget_blocks

STAGES = ("index", "decode", "classify", "write")
"""In the order in which `pipeline.build` puts them."""

_LOG = logging.getLogger(__name__)
_executor: weakref.ref[Any] | None = None
_between = ""
_wanted = 0
"""Classifiers that the run has cores for."""


@dataclass(frozen=True)
class Stage:
    """One stage of the plan at a moment."""

    waiting: int
    """Blocks in front of it: shards of `index`, chunks of the others."""
    running: int
    """Tasks that hold a block, waiting for a CPU or at work."""
    actors: int = 0
    """Classifiers that are ready."""
    pending: int = 0
    """Classifiers that wait for a CPU, start, or start again."""
    restarting: int = 0
    """Those among them that start again, for their process or their node is gone."""
    busy: int = 0
    """Ready classifiers that have chunks."""


class _Hold(ExecutionCallback):
    """Keeps hold of the executor, in whose own thread it adds classifiers.

    Ray Data makes this object itself, out of its class alone.
    """

    def before_execution_starts(self, executor: Any) -> None:
        global _executor
        _executor = weakref.ref(executor)

    def on_execution_step(self, executor: Any) -> None:
        global _wanted
        forget_blocks(executor)
        try:
            _add_classifiers(executor, _wanted)
        except Exception as error:
            # nothing public does as much; no more than growth is lost
            _wanted = 0
            _LOG.warning("this Ray Data does not let classifiers follow the nodes: %s", error)

    def after_execution_succeeds(self, executor: Any) -> None:
        global _executor
        _executor = None

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        self.after_execution_succeeds(executor)


def observe(context: DataContext) -> None:
    """Make runs under this context observable, and keep them from growing in memory."""
    bound_queues(context)
    context.custom_execution_callback_classes = [
        *context.custom_execution_callback_classes,
        _Hold,
    ]


def read_stages() -> dict[str, Stage] | None:
    """The stages of the pass at work in this process, by name; empty between passes.

    Returns:
        None where this version of Ray Data does not say.
    """
    executor = _executor() if _executor is not None else None
    if executor is None:
        return {}
    try:
        states = list(executor._topology.items())[1:]  # without the input
        return {
            name: _stage(operator, state)
            for name, (operator, state) in zip(STAGES, states, strict=True)
        }
    except Exception:
        return None  # nothing public says as much; no more than this view is lost


def between_passes(what: str) -> None:
    """What the run waits for while it has no stages; nothing: for them to start."""
    global _between
    _between = what


def awaited_between_passes() -> str:
    """As `between_passes` was told last."""
    return _between


def want_classifiers(count: int) -> None:
    """Let the passes have so many classifiers, if there are chunks for them; 0: as Ray Data likes.

    Ray Data's own autoscaler adds one only out of the CPUs that the reserves it makes for every
    stage leave: of two nodes with a CPU each, the second would stay idle.
    """
    global _wanted
    _wanted = count


def _add_classifiers(executor: Any, wanted: int) -> None:
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
