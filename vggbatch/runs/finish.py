"""The end of a run: its run.json and, last of all, _SUCCESS; under the lease of the run."""

from __future__ import annotations

from typing import Any

from vggbatch.errors import JobFailed, UsageError
from vggbatch.job.job import Job
from vggbatch.output.checks.intact import damage
from vggbatch.output.layout import Output
from vggbatch.output.names import NEXT, RUN, SUCCESS
from vggbatch.output.switch import switch
from vggbatch.output.verify import declaration
from vggbatch.pipeline.recipes import Recipe
from vggbatch.runs.result import Metrics, Revision, RunResult
from vggbatch.runs.run_record import fresh_record, unused_of
from vggbatch.runs.verdict import judge
from vggbatch.sources import InputWarning

_OF_SCORING = ("rates", "timings", "throughput", "executor", "placement", "this_run")
"""Parts of run.json that say how the rows were scored."""


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
    unused = unused_of(job, result)
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
        record = fresh_record(job, result, recipe, found, warnings, unused_of(job, result))
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
    return {**fresh_record(job, result, recipe, found, warnings, unused), **kept}
