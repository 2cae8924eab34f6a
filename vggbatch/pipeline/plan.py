"""The stages of pipeline.py as a Ray Data plan."""

from __future__ import annotations

import functools
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy

from vggbatch.pipeline.pipeline import Classify, Scoring, decode, guarded, index, write
from vggbatch.pipeline.placement import DECODE_CPUS, INDEX_CPUS, WRITE_CPUS, Placement

_RETRIES = 3
"""Of a task whose process died; then its chunk is left to the next pass (see passes.py)."""
_CALLS = 10
"""Retries of a call to a classifier. Ray pauses for 0.1 s before the first, and twice as long each
time up to 5 s, so they last 26 s. By default it takes 15 s to find a node dead; until then a call
there fails at once, and with three retries each classifier of a lost node cost six chunks a second
pass (measured: 20 s). After that its two chunks wait for it to start elsewhere."""


def build(source: ray.data.Dataset, scoring: Scoring, placement: Placement) -> ray.data.Dataset:
    """The plan over a dataset of shards; each row that comes out is a receipt (RECEIPT_SCHEMA)."""
    tables: dict[str, Any] = {
        "batch_size": None,
        "batch_format": "pyarrow",
        "zero_copy_batch": True,
    }
    # Ray's default is for ever, which an image that kills its process would take
    tasks: dict[str, Any] = {**tables, "max_retries": _RETRIES}
    return (
        source.map_batches(
            functools.partial(index, scoring=scoring),
            num_cpus=INDEX_CPUS,
            concurrency=placement.index_tasks,
            **tasks,
        )
        .map_batches(
            functools.partial(guarded, stage=decode, scoring=scoring),
            num_cpus=DECODE_CPUS,
            concurrency=placement.decode_tasks,
            **tasks,
        )
        .map_batches(
            Classify,
            fn_constructor_args=(scoring,),
            num_cpus=placement.actor_cpus,
            compute=ActorPoolStrategy(
                # the rest may go with their nodes, and come with others
                min_size=1 if placement.elastic else placement.actors,
                initial_size=placement.actors,
                max_size=placement.max_actors,
                max_tasks_in_flight_per_actor=placement.chunks_in_flight,
            ),
            # of a chunk whose classifier died; the classifier starts again however often
            max_task_retries=_RETRIES if scoring.isolate else _CALLS,
            **tables,
        )
        .map_batches(
            functools.partial(guarded, stage=write, scoring=scoring),
            num_cpus=WRITE_CPUS,
            concurrency=placement.write_tasks,
            **tasks,
        )
    )
