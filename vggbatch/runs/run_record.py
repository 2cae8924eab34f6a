"""What run.json says of a run: its settings, versions, counts, rates, timings and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from vggbatch.chunks.stats import Stats
from vggbatch.job.job import Job
from vggbatch.labels import LabelSpec
from vggbatch.models.catalog import synset
from vggbatch.output.documents.metadata import FORMAT
from vggbatch.pipeline.recipes import Recipe
from vggbatch.preprocess.views import describe
from vggbatch.runs.result import RunResult
from vggbatch.runs.unused_labels import unused_labels
from vggbatch.sources import InputWarning
from vggbatch.sources.input_warnings import input_warnings_of, merged
from vggbatch.versions import versions


def fresh_record(
    job: Job,
    result: RunResult,
    recipe: Recipe,
    metrics: dict[str, Any],
    warnings: list[str],
    unused: tuple[InputWarning, ...],
) -> dict[str, Any]:
    """The content of run.json, of a recipe's output, with the rates and timings of this run.

    Args:
        job: what was asked.
        result: what came out.
        recipe: whose output it is.
        metrics: what it says of metrics, by key.
        warnings: what is wrong with the run as a whole.
        unused: labels that could not be used.
    """
    stats = result.stats
    plan = result.revision.plan if result.revision else result.output.read_plan() or {}
    model, *ensemble = job.model_facts()
    first, *others = (preprocess.model_dump(mode="json") for preprocess in recipe.preprocess)
    return {
        "format": FORMAT,
        "plan": result.output.plan_id,
        "run_id": result.output.plan_id,
        "vggbatch": versions()["vggbatch"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": job.public_config(),
        "row_labels": LabelSpec.parse(job.row_labels).public() if job.row_labels else None,
        "model": model,
        "classes": list(job.model.classes) if job.model.classes != synset() else None,
        "ensemble": [
            {**facts, "preprocess": preprocess}
            for facts, preprocess in zip(ensemble, others, strict=True)
        ],
        "preprocess": {"profile": recipe.profile, **first},
        "assumptions": [asdict(assumption) for assumption in job.assumptions],
        "warnings": warnings,
        "protocol": describe(job.protocol, recipe.preprocess[0]),
        "profiles": [other.name for other in job.recipes],
        # an output of a further profile says which it is, and so where the run is
        "profile": recipe.name if recipe is not job.recipes[0] else None,
        "versions": versions(),
        **stats_in(stats),
        "rates": {
            "images_per_second": round(result.images_per_second, 3),
            "images_this_run": result.scored_now,
            "wall_seconds": round(result.seconds, 3),
        },
        "left_out": listed(left_out(job, stats)),
        "unused_labels": listed(unused),
        "executor": result.executor,
        "placement": result.placement.describe() if result.placement else None,
        "files": result.files[recipe.name],
        **metrics,
        # of an output that was revised: when, and what it gained and lost
        **({"history": plan["history"]} if "history" in plan else {}),
        "this_run": {
            "run_id": result.run_id,
            "images": result.scored_now,
            "errors_by_kind": result.stats_now.errors,
            "image_bytes": result.stats_now.image_bytes,
            "timings": _timings(result.stats_now),
        },
    }


def stats_in(stats: Stats) -> dict[str, Any]:
    """What run.json says that is counted of the rows."""
    return {
        "counts": {
            "images": stats.rows,
            "scored": stats.rows - stats.error_rows,
            "errors": stats.error_rows,
            "errors_by_kind": stats.errors,
        },
        "timings": _timings(stats),
        "throughput": stats.throughput.describe(),
        "image_bytes": stats.image_bytes,
    }


def unused_of(job: Job, result: RunResult) -> tuple[InputWarning, ...]:
    """Labels that could not be used: of no class, or of no image."""
    files = next(iter(result.files.values()))
    names = [file["name"] for file in files]
    labeled = result.stats.likelihood.n
    without = unused_labels(job, result.output.folder, names, result.rows, labeled)
    return (*input_warnings_of(result.stats.labels), *without)


def left_out(job: Job, stats: Stats) -> tuple[InputWarning, ...]:
    """All that is no row: what the listing left out, and what is in shards beside images."""
    return input_warnings_of(merged(job.left_out, stats.left_out))


def left_out_in(record: Mapping[str, Any]) -> tuple[InputWarning, ...]:
    """As `left_out`, from run.json; nothing from one that does not say."""
    return _warnings_in(record, "left_out")


def unused_labels_in(record: Mapping[str, Any]) -> tuple[InputWarning, ...]:
    """Labels that could not be used, from run.json; nothing from one that does not say."""
    return _warnings_in(record, "unused_labels")


def _warnings_in(record: Mapping[str, Any], key: str) -> tuple[InputWarning, ...]:
    return tuple(
        InputWarning(kind["what"], kind["count"], tuple(kind["examples"]))
        for kind in record.get(key, ())
    )


def listed(kinds: Iterable[InputWarning]) -> list[dict[str, Any]]:
    """Kinds of input warnings as run.json lists them."""
    return [{**asdict(kind), "examples": list(kind.examples)} for kind in kinds]


def _timings(stats: Stats) -> dict[str, float]:
    """Seconds of one core or one classifier, by stage."""
    return {
        name: round(value, 3) for name, value in asdict(stats).items() if name.endswith("_seconds")
    }
