"""The stages of the run at work inside Ray Data: what they have to do, how many classifiers.

Nothing here imports Ray Data, which a run may do without; executor.py ties the two together.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

STAGES = ("index", "decode", "classify", "write")
"""In the order in which `pipeline.build` puts them."""

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


def hold(executor: Any | None) -> None:
    """Look at this executor of Ray Data from now on; None: at none."""
    global _executor
    _executor = weakref.ref(executor) if executor is not None else None


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


def wanted_classifiers() -> int:
    """As `want_classifiers` was told last."""
    return _wanted


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
