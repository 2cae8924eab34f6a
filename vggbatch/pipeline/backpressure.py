"""What keeps the driver's memory flat however many chunks there are.

Ray Data bounds its queues by bytes in the object stores alone. Each chunk in a queue also takes
tens of kB of the driver, and an indexed one next to nothing of a store: on a large cluster all
chunks of a billion images would be indexed at once.
"""

from __future__ import annotations

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
)
from ray.data._internal.execution.backpressure_policy.backpressure_policy import BackpressurePolicy

_QUEUE = 16
"""Chunks that may always wait for a stage."""
_QUEUE_A_TASK = 4
"""Chunks that may wait for each task or actor of a stage."""


class _ShortQueues(BackpressurePolicy):
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


def _width(op: Any) -> int:
    """Tasks or actors that a stage has at once."""
    pools = op.get_autoscaling_actor_pools()
    if pools:
        return sum(pool.current_size() for pool in pools)
    return op.get_max_concurrency_limit() or 0


def bound_queues(context: DataContext) -> None:
    """Put the bound into a context."""
    context.set_config(
        ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, _ShortQueues]
    )


def forget_blocks(executor: Any) -> None:
    """Drop what Ray Data keeps of every block that was, for a summary that nobody reads."""
    for operator in executor._topology:
        getattr(operator, "_output_blocks_stats", []).clear()
