"""What Ray Data calls in its own thread: it finds the stages, bounds them and adds classifiers."""

from __future__ import annotations

import logging
from typing import Any

from ray.data import DataContext
from ray.data._internal.actor_autoscaler import ActorPoolScalingRequest
from ray.data._internal.execution.execution_callback import ExecutionCallback

from vggbatch.pipeline.backpressure import bound_queues, forget_blocks
from vggbatch.pipeline.stages import hold, want_classifiers, wanted_classifiers

_LOG = logging.getLogger(__name__)


class _Hold(ExecutionCallback):
    """Keeps hold of the executor, in whose own thread it adds classifiers.

    Ray Data makes this object itself, out of its class alone.
    """

    def before_execution_starts(self, executor: Any) -> None:
        hold(executor)

    def on_execution_step(self, executor: Any) -> None:
        forget_blocks(executor)
        try:
            _add_classifiers(executor, wanted_classifiers())
        except Exception as error:
            # nothing public does as much; no more than growth is lost
            want_classifiers(0)
            _LOG.warning("this Ray Data does not let classifiers follow the nodes: %s", error)

    def after_execution_succeeds(self, executor: Any) -> None:
        hold(None)

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        self.after_execution_succeeds(executor)


def observe(context: DataContext) -> None:
    """Make runs under this context observable, and keep them from growing in memory."""
    bound_queues(context)
    context.custom_execution_callback_classes = [
        *context.custom_execution_callback_classes,
        _Hold,
    ]


def _add_classifiers(executor: Any, wanted: int) -> None:
    for operator, state in executor._topology.items():
        for pool in operator.get_autoscaling_actor_pools():
            missing = min(wanted - pool.current_size(), state.total_enqueued_input_blocks())
            if missing > 0:
                reason = "the nodes have cores for more"
                pool.scale(ActorPoolScalingRequest.upscale(delta=missing, reason=reason))
