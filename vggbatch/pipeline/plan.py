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
            max_task_retries=_RETRIES,
            **tables,
        )
        .map_batches(
            functools.partial(guarded, stage=write, scoring=scoring),
            num_cpus=WRITE_CPUS,
            concurrency=placement.write_tasks,
            **tasks,
        )
    )
