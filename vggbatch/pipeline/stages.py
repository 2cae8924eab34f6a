"""What Ray Data knows of each stage of the run at work: chunks that wait, tasks, classifiers."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

STAGES = ("index", "decode", "classify", "write")
"""In the order in which `pipeline.build` puts them."""

_executor: weakref.ref[Any] | None = None


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


class _Remember(ExecutionCallback):
    """Keeps hold of the executor: Ray Data makes this object itself, out of its class alone."""

    def before_execution_starts(self, executor: Any) -> None:
        global _executor
        _executor = weakref.ref(executor)

    def after_execution_succeeds(self, executor: Any) -> None:
        global _executor
        _executor = None

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        self.after_execution_succeeds(executor)


def observe(context: DataContext) -> None:
    """Make runs under this context observable."""
    context.custom_execution_callback_classes = [
        *context.custom_execution_callback_classes,
        _Remember,
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


def _stage(operator: Any, state: Any) -> Stage:
    actors = operator.get_actor_info()
    return Stage(
        waiting=state.total_enqueued_input_blocks(),
        running=operator.num_active_tasks(),
        actors=actors.running,
        pending=actors.pending + actors.restarting,
    )
