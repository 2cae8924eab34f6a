"""Ray Data's own settings, for chunks as rows."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace

from ray.data import DataContext, ExecutionResources
from ray.util.annotations import RayDeprecationWarning

from vggbatch.config import ComputeOptions
from vggbatch.pipeline.cluster import Cluster
from vggbatch.pipeline.executor import observe

_PATIENCE = 300
_CLUSTER_PATIENCE = 1800
"""Seconds without any progress until a run gives up. On a cluster nodes may have to be started
first, or another run holds them."""
_SECONDS_AN_IMAGE = 3
"""Patience grows with the chunk: a slow core takes a second for a VGG in fp32."""


@contextlib.contextmanager
def data_context(cluster: Cluster, options: ComputeOptions, *, chunk_work: float) -> Iterator[None]:
    """Ray Data set up for chunks as rows; the caller's own settings come back afterwards.

    Args:
        cluster: what the run is connected to.
        options: the run's share of it.
        chunk_work: what a chunk costs a network, in single crops.
    """
    if not logging.getLogger("vggbatch").isEnabledFor(logging.DEBUG):
        # when it is imported Ray Data sets its loggers up, so this can be said no earlier
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
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
    patience = _PATIENCE if cluster.own else _CLUSTER_PATIENCE
    context.execution_no_progress_timeout_s = patience + _SECONDS_AN_IMAGE * chunk_work
    observe(context)
    # a node may go while a classifier starts on it; one that cannot start at all says so itself
    context.max_consecutive_actor_init_deaths = 3
    DataContext._set_current(context)
    try:
        with warnings.catch_warnings():
            # small runs leave classifiers without work, which Ray thinks worth a paragraph each
            warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
            # max_retries of a stage has no other way in until Ray 2.64 takes this one away
            warnings.filterwarnings("ignore", category=RayDeprecationWarning)
            yield
    finally:
        DataContext._set_current(before)
