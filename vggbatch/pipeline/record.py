"""The end of a run: what it left behind, run.json, and last of all _SUCCESS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from vggbatch.errors import JobFailed
from vggbatch.pipeline.fence import Fence
from vggbatch.pipeline.job import Job, versions
from vggbatch.pipeline.placement import Placement
from vggbatch.pipeline.recipe import Recipe
from vggbatch.pipeline.state import RUN, SUCCESS, Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.verdict import judge
from vggbatch.preprocess.views import describe
from vggbatch.sources import Surprise
from vggbatch.sources.labels import LabelSpec
from vggbatch.sources.surprises import merged, surprises_of
from vggbatch.storage import Folder


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    run_id: str
    """Names this run in run.json, log lines and metrics."""
    output: Output
    rows: int
    """Rows in the output."""
    stats: Stats
    files: list[dict[str, Any]]
    seconds: float
    """Of this run, start of Ray included."""
    stats_now: Stats
    """Of what this run scored; nothing where an earlier one had done all."""
    images_per_second: float
    placement: Placement | None
    """None where nothing was left to score."""
    complete_before: bool
    """The output was complete before this run, and nothing was done."""
    folders: dict[str, Folder]
    """Where the rows of each profile are; the first are the output's own."""

    def fence(self, profile: str) -> Fence:
        """The right to write into the output of a profile."""
        return self.output.fence_of("" if profile == next(iter(self.folders)) else profile)

    @property
    def scored_now(self) -> int:
        """Images that this run scored."""
        return self.stats_now.rows


def finish(job: Job, result: RunResult, *, labelled: int | None = None) -> dict[str, Any]:
    """Write run.json and, last of all, _SUCCESS; under the lease of `run`.

    Args:
        job: what was asked.
        result: what came out.
        labelled: images that have a label in any set; None where none was wanted.

    Returns:
        The content of run.json.

    Raises:
        JobFailed: more images than `max_error_rate` allows ended in an error (more than half where
            it is not set), none has a label, or another run has overwritten the output since.
    """
    output = result.output
    if result.complete_before:
        return output.read_run()
    places = [result.fence(name) for name in result.folders]
    verdict = judge(job, result, labelled=labelled)
    warnings = [verdict.message] if verdict is not None else []
    record, *further = (_record(job, result, recipe, warnings) for recipe in job.recipes)
    for place, its_record in zip(places[1:], further, strict=True):
        place.write_json(RUN, its_record)
    places[0].write_json(RUN, record)
    if verdict is not None and verdict.fails:
        raise JobFailed(verdict.message)
    output.drop_staging()
    output.drop_strays({file["name"] for file in result.files})
    output.drop_other_plans(output.plan_id)
    for place in (*places[1:], places[0]):
        place.write_bytes(SUCCESS, b"")
    return record


def _record(job: Job, result: RunResult, recipe: Recipe, warnings: list[str]) -> dict[str, Any]:
    """The content of run.json, of a recipe's output."""
    stats = result.stats
    model, *ensemble = job.model_facts()
    first, *others = (preprocess.model_dump(mode="json") for preprocess in recipe.preprocess)
    return {
        "vggbatch": versions()["vggbatch"],
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": job.public_config(),
        "row_labels": LabelSpec.parse(job.row_labels).public() if job.row_labels else None,
        "model": model,
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
        "counts": {
            "images": result.rows,
            "scored": result.rows - stats.error_rows,
            "errors": stats.error_rows,
            "errors_by_kind": stats.errors,
        },
        "rates": {
            "images_per_second": round(result.images_per_second, 3),
            "images_this_run": result.scored_now,
            "wall_seconds": round(result.seconds, 3),
        },
        "timings": _timings(stats),
        "left_out": [
            {**asdict(kind), "examples": list(kind.examples)} for kind in left_out(job, stats)
        ],
        "throughput": stats.throughput.describe(),
        "image_bytes": stats.image_bytes,
        "placement": result.placement.describe() if result.placement else None,
        "files": result.files,
        "this_run": {
            "run_id": result.run_id,
            "images": result.scored_now,
            "errors_by_kind": result.stats_now.errors,
            "image_bytes": result.stats_now.image_bytes,
            "timings": _timings(result.stats_now),
        },
    }


def left_out(job: Job, stats: Stats) -> tuple[Surprise, ...]:
    """All that is no row: what the listing left out, and what is in shards beside images."""
    return surprises_of(merged(job.left_out, stats.left_out))


def left_out_in(record: Mapping[str, Any]) -> tuple[Surprise, ...]:
    """As `left_out`, from run.json; nothing from one that does not say."""
    return tuple(
        Surprise(kind["what"], kind["count"], tuple(kind["examples"]))
        for kind in record.get("left_out", ())
    )


def _timings(stats: Stats) -> dict[str, float]:
    """Seconds of one core or one classifier, by stage."""
    return {
        name: round(value, 3) for name, value in asdict(stats).items() if name.endswith("_seconds")
    }
