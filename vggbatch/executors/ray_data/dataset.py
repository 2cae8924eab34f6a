"""The stages as a Ray Data plan, and the settings under which Ray Data executes it."""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources

from vggbatch.cluster.connection import Cluster
from vggbatch.cluster.placement import DECODE_CPUS, INDEX_CPUS, WRITE_CPUS, Placement
from vggbatch.cluster.quiet import log_level
from vggbatch.config import ComputeOptions
from vggbatch.executors.ray_data.fused import FusedClassify
from vggbatch.executors.ray_data.internals import (
    bound_queues,
    name_stages,
    observe,
    set_options,
)
from vggbatch.executors.ray_data.stages import STAGES
from vggbatch.pipeline.stages import Classify, StageContext, capture_failure, decode, index, write

_RETRIES = 3
"""Of a task whose process died; then its chunk is left to the next pass (see passes.py)."""
_CALLS = 10
"""Retries of a call to a classifier. Ray pauses for 0.1 s before the first, and twice as long each
time up to 5 s, so they last 26 s. By default it takes 15 s to find a node dead; until then a call
there fails at once, and with three retries each classifier of a lost node cost six chunks a second
pass (measured: 20 s). After that its two chunks wait for it to start elsewhere."""
_OF_TASKS = ("decode", "write")
"""Stages in tasks of their own, unless classifiers do them."""
_TABLES: dict[str, Any] = {
    "batch_size": None,
    "batch_format": "pyarrow",
    "zero_copy_batch": True,
}
_TIMEOUT_S = 300
_CLUSTER_TIMEOUT_S = 1800
"""Seconds without any progress until a run gives up. On a cluster nodes may have to be started
first, or another run holds them."""
_CROP_TIMEOUT_S = 3
"""The timeout grows with the chunk: a slow core takes a second for a VGG in fp32."""


def build(
    source: ray.data.Dataset,
    context: StageContext,
    placement: Placement,
    *,
    indexed: bool,
    fused: bool,
) -> ray.data.Dataset:
    """The plan over a dataset of shards; each row that comes out is a ChunkResult.

    Args:
        source: a row for each shard; for each chunk, where they are `indexed`.
        context: what the stages need to know.
        placement: where they run.
        indexed: whether the first stage, `index`, has been done by the caller.
        fused: whether classifiers decode and write too, in the same call.
    """
    plain = context.without_networks()
    names = STAGES[1:] if indexed else STAGES
    name_stages([name for name in names if name not in _OF_TASKS] if fused else names)
    if not indexed:
        source = _tasks(
            source,
            functools.partial(index, context=plain),
            num_cpus=INDEX_CPUS,
            concurrency=placement.index_tasks,
        )
    if not fused:
        source = _tasks(
            source,
            functools.partial(capture_failure, stage=decode, context=plain),
            num_cpus=DECODE_CPUS,
            concurrency=placement.decode_tasks,
        )
    calls_at_once = FusedClassify.calls_at_once if fused else 1
    source = source.map_batches(
        FusedClassify if fused else Classify,
        fn_constructor_args=(context,),
        num_cpus=placement.actor_cpus,
        num_gpus=placement.actor_gpus or None,
        compute=ActorPoolStrategy(
            # the rest may go with their nodes, and come with others
            min_size=1 if placement.elastic else placement.actors,
            initial_size=placement.actors,
            max_size=placement.max_actors,
            max_tasks_in_flight_per_actor=placement.chunks_in_flight + calls_at_once - 1,
            # without it Ray Data calls a classifier from one thread
            enable_true_multi_threading=True,
        ),
        **_TABLES,
    )
    # of a chunk whose classifier died; the classifier starts again however often
    calls = _RETRIES if fused or context.isolate else _CALLS
    source = set_options(source, max_task_retries=calls, max_concurrency=calls_at_once)
    if fused:
        return source
    return _tasks(
        source,
        functools.partial(capture_failure, stage=write, context=plain),
        num_cpus=WRITE_CPUS,
        concurrency=placement.write_tasks,
    )


def _tasks(
    source: ray.data.Dataset, stage: Callable[..., Any], *, num_cpus: float, concurrency: int
) -> ray.data.Dataset:
    """A stage in tasks."""
    mapped = source.map_batches(stage, num_cpus=num_cpus, concurrency=concurrency, **_TABLES)
    # Ray's default is without end, which an image that kills its process would take
    return set_options(mapped, max_retries=_RETRIES)


@contextlib.contextmanager
def data_context(cluster: Cluster, options: ComputeOptions, *, chunk_work: float) -> Iterator[None]:
    """Set Ray Data up for chunks as rows; the caller's own settings come back afterwards.

    Args:
        cluster: what the run is connected to.
        options: the run's share of it.
        chunk_work: what a chunk costs a network, in single crops.
    """
    quiet: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if not logging.getLogger("vggbatch").isEnabledFor(logging.DEBUG):
        # when it is imported Ray Data sets its loggers up, so this can be said no earlier
        quiet = log_level(logging.CRITICAL, ["ray.data"])
    before = DataContext.get_current()
    context = before.copy()
    # a block for each row: a chunk must be neither merged with others nor split
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    if options.max_cpus is not None:
        context.execution_options.resource_limits = ExecutionResources.for_limits(
            cpu=options.max_cpus
        )
    # a classifier is given up when its node goes or nothing is left, never for want of input
    context.autoscaling_config = replace(
        context.autoscaling_config, actor_pool_util_downscaling_threshold=-1.0
    )
    # a chunk whose process died too often is dropped and not the run; the next pass takes it up
    context.max_errored_blocks = -1
    timeout = _TIMEOUT_S if cluster.own else _CLUSTER_TIMEOUT_S
    context.execution_no_progress_timeout_s = timeout + _CROP_TIMEOUT_S * chunk_work
    observe(context)
    bound_queues(context)
    # a node may go while a classifier starts on it; one that cannot start at all says so itself
    context.max_consecutive_actor_init_deaths = 3
    with quiet, DataContext.current(context), warnings.catch_warnings():
        # small runs leave classifiers without work, which Ray thinks worth a paragraph each
        warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
        yield
