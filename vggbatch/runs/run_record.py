"""The end of a run: what it left behind, run.json, and last of all _SUCCESS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from vggbatch.chunks.stats import Stats
from vggbatch.cluster.placement import Placement
from vggbatch.errors import JobFailed, UsageError
from vggbatch.job.job import Job
from vggbatch.labels import LabelSpec
from vggbatch.models import synset
from vggbatch.output.fence import Fence
from vggbatch.output.intact import damage
from vggbatch.output.layout import NEXT, RUN, SUCCESS, Output
from vggbatch.output.lease import OutputLease
from vggbatch.output.metadata import FORMAT
from vggbatch.output.switch import switch
from vggbatch.output.verify import declaration
from vggbatch.pipeline.recipes import Recipe
from vggbatch.preprocess.views import describe
from vggbatch.runs.unused_labels import unused_labels
from vggbatch.runs.verdict import judge
from vggbatch.sources import InputWarning
from vggbatch.sources.input_warnings import input_warnings_of, merged
from vggbatch.storage.filesystem import Folder
from vggbatch.versions import versions

_OF_SCORING = ("rates", "timings", "throughput", "executor", "placement", "this_run")
"""Parts of run.json that say how the rows were scored."""


@dataclass(frozen=True)
class Revision:
    """A generation of an output that is prepared and not declared (see output/switch.py)."""

    plan: dict[str, Any]
    """Its plan.json."""
    before: dict[str, Any]
    """run.json of the generation before."""

    @property
    def generation(self) -> int:
        """How often the output will have been revised."""
        return int(self.plan["generation"])


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    run_id: str
    """Names this run in run.json, log lines and metrics."""
    output: Output
    rows: int
    """Rows in the output."""
    stats: Stats
    seconds: float
    """Of this run, start of Ray included."""
    stats_now: Stats
    """Of what this run scored; nothing where an earlier one had done all."""
    images_per_second: float
    executor: str | None
    """What scored, `local` or `ray`; None where nothing was left to score."""
    placement: Placement | None
    """Where; None likewise."""
    lease: OutputLease | None
    """The right to write; None where the output was complete before, and nothing was done."""
    folders: dict[str, Folder]
    """Where the rows of each profile are; the first are the output's own."""
    files: dict[str, list[dict[str, Any]]]
    """The data files of each profile, with their row counts, sizes and digests."""
    revision: Revision | None = None
    """Where the output was complete before and is to become its next generation."""
    more: bool = False
    """Whether the input has more than the interrupted run was about, which this one has ended."""

    def fence(self, profile: str) -> Fence:
        """The right to write into the output of a profile."""
        return self.output.fence_of("" if profile == next(iter(self.folders)) else profile)

    @property
    def complete_before(self) -> bool:
        """Whether the output was complete before this run, and nothing was done."""
        return self.lease is None

    @property
    def scored_now(self) -> int:
        """Images that this run scored."""
        return self.stats_now.rows


@dataclass(frozen=True)
class WrittenMetrics:
    """The metrics of a profile."""

    tables: Sequence[dict[str, Any]]
    """The files that were written, as run.json lists them."""
    lines: Sequence[dict[str, Any]]
    """The lines of the summary."""


Metrics = Mapping[str, WrittenMetrics]
"""By profile."""


def finish(
    job: Job,
    result: RunResult,
    metrics: Metrics | None = None,
    *,
    labeled: int | None = None,
) -> dict[str, Any]:
    """Write run.json and, last of all, _SUCCESS; under the lease of `run`.

    Args:
        job: what was asked.
        result: what came out.
        metrics: those that were written; None: the output keeps those that it has.
        labeled: images that have a label in any set; None where none was wanted.

    Returns:
        The content of run.json.

    Raises:
        JobFailed: more images than `max_error_rate` allows ended in an error (more than half where
            it is not set), none has a label, files that were written are not there any more, or
            the output is another run's by now.
    """
    output = result.output
    if result.lease is None:
        return output.read_run()
    if result.revision is not None:
        return _finish_revision(job, result, result.revision, metrics, labeled)
    places = [result.fence(name) for name in result.folders]
    output.drop_strays({file["name"] for files in result.files.values() for file in files})
    verdict = judge(job, result, labeled=labeled)
    warnings = [verdict.message] if verdict is not None else []
    unused = _unused(job, result)
    records = [_record(job, result, recipe, metrics, warnings, unused) for recipe in job.recipes]
    for place, record in zip(reversed(places), reversed(records), strict=True):
        place.write_json(RUN, record)
    if verdict is not None and verdict.fails:
        raise JobFailed(verdict.message)
    output.drop_staging()
    for folder, record in zip(result.folders.values(), records, strict=True):
        if wrong := damage(folder, [*record["files"], *(record["tables"] or ())]):
            name, what = next(iter(wrong.items()))
            raise JobFailed(
                f"{folder.uri}/{name} {what}, though this run wrote it: run the same command "
                "again, which makes it again"
            )
    result.lease.end_renewals()
    for place, record in zip(reversed(places), reversed(records), strict=True):
        place.create_json(SUCCESS, declaration(record))
    return records[0]


def _finish_revision(
    job: Job,
    result: RunResult,
    revision: Revision,
    metrics: Metrics | None,
    labeled: int | None,
) -> dict[str, Any]:
    """Declare the next generation of an output, in place of the one before."""
    verdict = judge(job, result, labeled=labeled)
    if verdict is not None and verdict.fails:
        raise JobFailed(f"{verdict.message}; the output is as it was before")
    warnings = [verdict.message] if verdict is not None else []
    records = {}
    for number, recipe in enumerate(job.recipes):
        name = recipe.name
        found: dict[str, Any] = {"metrics": None, "tables": None}
        if metrics is not None:
            found = {"metrics": metrics[name].lines, "tables": metrics[name].tables}
        record = _fresh_record(job, result, recipe, found, warnings, _unused(job, result))
        if wrong := damage(result.folders[name], [*record["files"], *(record["tables"] or ())]):
            broken, what = next(iter(wrong.items()))
            raise JobFailed(f"{broken} {what}, though this run wrote it: repeat the command")
        records[name if number else ""] = record
    assert result.lease is not None
    result.lease.end_renewals()
    switch(result.output, revision.plan, records)
    result.output.fence.delete_tree(NEXT)
    return records[""]


def _metrics(result: RunResult, profile: str, metrics: Metrics | None) -> dict[str, Any]:
    """What a profile's run.json is to say of its metrics; tables it does not list are removed."""
    if metrics is not None:
        lines, tables = list(metrics[profile].lines), list(metrics[profile].tables)
        found: dict[str, Any] = {"metrics": lines, "tables": tables}
    else:
        # of an evaluation of the same rows, for the labels are part of the plan
        before = _before(result, profile)
        found = {name: before.get(name) for name in ("metrics", "tables")}
        if damage(result.folders[profile], found["tables"] or ()):
            found = {"metrics": None, "tables": None}
    if not found["tables"]:
        result.fence(profile).delete_tree("metrics")
    return found


def run_of(output: Output, profile: str = "") -> dict[str, Any] | None:
    """run.json as an earlier run of the same plan has left it, None if there is none.

    Args:
        output: the output.
        profile: of which further profile; "": of the output itself.
    """
    folder = output.profile(profile) if profile else output.folder
    try:
        record = Output(folder).read_run()
    except UsageError:
        return None
    return record if record.get("plan") == output.plan_id else None


def _before(result: RunResult, profile: str) -> dict[str, Any]:
    further = "" if profile == next(iter(result.folders)) else profile
    return run_of(result.output, further) or {}


def _record(
    job: Job,
    result: RunResult,
    recipe: Recipe,
    metrics: Metrics | None,
    warnings: list[str],
    unused: tuple[InputWarning, ...],
) -> dict[str, Any]:
    """The content of run.json, of a recipe's output."""
    before = {} if result.scored_now else _before(result, recipe.name)
    # where nothing was scored now, an earlier run's rates say more
    kept = {name: before[name] for name in _OF_SCORING if name in before}
    found = _metrics(result, recipe.name, metrics)
    return {**_fresh_record(job, result, recipe, found, warnings, unused), **kept}


def _fresh_record(
    job: Job,
    result: RunResult,
    recipe: Recipe,
    metrics: dict[str, Any],
    warnings: list[str],
    unused: tuple[InputWarning, ...],
) -> dict[str, Any]:
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


def _unused(job: Job, result: RunResult) -> tuple[InputWarning, ...]:
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
