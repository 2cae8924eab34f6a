"""Which executor a run gets. Imports little, so that what takes long can begin at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from vggbatch.config import ComputeOptions
from vggbatch.pipeline.run_logging import json_lines

if TYPE_CHECKING:
    from vggbatch.executors.base import Executor


def chosen_executor(options: ComputeOptions) -> Literal["local", "ray"]:
    """The executor that the options name; for `auto`, Ray where there is a cluster to join."""
    if options.executor != "auto":
        return options.executor
    ray = sys.modules.get("ray")
    joined = ray is not None and ray.is_initialized()
    return "ray" if joined or options.cluster_address is not None else "local"


@contextmanager
def executor_for(options: ComputeOptions) -> Iterator[Executor]:
    """The executor for a run under these options, for the block.

    What it needs and what takes long continues while the caller imports and checks the rest: the
    first worker process imports, or the cluster is joined. Nothing of a job is touched.

    Raises:
        UsageError: the address is one that no run can be on.
    """
    with ExitStack() as stack:
        if options.log_format == "json":
            stack.enter_context(json_lines())
        if chosen_executor(options) == "local":
            # its imports go beside those of this process
            from vggbatch.executors.local.process import WorkerProcess

            first = stack.enter_context(WorkerProcess())
            from vggbatch.executors.local.executor import LocalExecutor

            yield stack.enter_context(LocalExecutor(first))
        else:
            options.check_address()
            from vggbatch.executors.ray_data.executor import RayDataExecutor

            yield stack.enter_context(RayDataExecutor(options))
