"""The command that checks a job, says what it takes, and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vggbatch.cli import console
from vggbatch.cli.commands.score import warn_of_assumptions
from vggbatch.cli.job_command import job_command

if TYPE_CHECKING:
    from vggbatch.config import JobConfig
    from vggbatch.runs.planning.dry_run import Preview
    from vggbatch.runs.planning.estimate import Estimate

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SPAN = re.compile(r"(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?:in)?)?(?:(?P<s>\d+)s)?")

Within = Annotated[
    str | None,
    typer.Option(
        "--within",
        metavar="TIME",
        help="Say how many cores do it in that time: 2h, 90m, 1h30m, 3d.",
    ),
]
NoMeasure = Annotated[
    bool,
    typer.Option("--no-measure", help="Score no images, and so say nothing of times."),
]


def run_plan(config: JobConfig, within: str | None = None, no_measure: bool = False) -> None:
    """Check all that score or evaluate would need, and say what would run and how long it takes.

    A few of the images are scored for some seconds to know the rate; nothing is written.
    """
    from vggbatch import api

    deadline = None if within is None else seconds_of(within)
    found = api.plan(config, measure=not no_measure, within=deadline)
    console.result(found.to_json(), lambda: _show_plan(found))


def _show_plan(found: Preview) -> None:
    from vggbatch.preprocess.views import describe, in_words

    job = found.job
    config = job.config
    facts: list[tuple[str, str]] = []
    for count in found.formats:
        images = ("" if count.exact else "~") + console.plural(count.images, "image")
        shards = f" in {console.plural(count.shards, 'shard')}" if count.shards else ""
        facts.append(("input", f"{count.format}: {images}{shards}, {count.bytes / 1e6:,.1f} MB"))
    if not config.select.everything:
        facts.append(("of the input", config.select.in_words()))
    for model in job.models:
        synthetic = " (random weights: predictions mean nothing)" if model.synthetic else ""
        facts.append(("model", f"{model.name}{synthetic}, SHA-256 {model.sha256[:16]}"))
    for recipe in job.recipes:
        for parts in dict.fromkeys(recipe.preprocess):
            text = f"{recipe.name}: {parts.resize_mode} side {parts.resize}, {parts.interpolation}"
            facts.append(("preprocessing", f"{text}, crop {parts.crop}, {parts.channels}"))
    facts += [("assumed", f"{a.what}: {a.value} ({a.because})") for a in job.assumptions]
    facts.append(("protocol", in_words(describe(job.protocol, job.preprocess))))
    if found.labels is not None:
        counted = found.labels
        facts.append(("labels", f"{counted.matched:,} images have one, {counted.unmatched:,} none"))
    elif job.labels is not None:
        facts.append(("labels", "matched when the shards are opened"))
    facts += [("warning", str(odd)) for odd in found.input_warnings]
    if unopened := sum(shard.members is None for shard in job.shards):
        what = f"{console.plural(unopened, 'shard')}: what is no image in them shows after the run"
        facts.append(("not opened", what))
    place = found.placement
    where = f" of {console.plural(place.nodes, 'node')}" if config.compute.address else ""
    decoding = "" if place.fused else f" and {console.plural(place.decode_tasks, 'decoding task')}"
    placement = (
        f"{console.plural(place.actors, 'classifier')} of "
        f"{console.plural(place.threads, 'thread')} each{decoding} on "
        f"{console.plural(place.cpus, 'CPU')}{where}"
    )
    if found.pinning is not None:
        placement += f", {found.pinning}"
    facts += [
        ("executor", found.executor),
        ("placement", placement),
        ("chunks", f"of {job.chunk_size} images"),
        ("output", f"{config.output}: {found.output}"),
    ]
    console.facts([*facts, *_estimated(found.estimate)])
    for line in found.notes:
        console.warning(line)
    warn_of_assumptions(job)


def _estimated(found: Estimate) -> Iterator[tuple[str, str]]:
    """How long it takes and what it needs."""
    cores = console.plural(found.cores, "core")
    if (trial := found.trial) is not None and found.seconds is not None:
        yield (
            "rate",
            f"{console.rate(trial.images_per_second)} on {console.plural(trial.cores, 'core')}, "
            f"{trial.core_seconds:.3g} core seconds an image: measured on this machine, with "
            f"{trial.images:,} images of the input",
        )
        yield "preparation", f"{console.duration(found.prepare_seconds or 0)}, once on a machine"
        yield "start", console.duration(found.start_seconds or 0)
        yield "scoring", f"{console.duration(found.score_seconds or 0)} on {cores}"
        yield "in all", f"{console.duration(found.seconds)}, {found.core_hours:.2g} core hours"
        if found.within_seconds is not None:
            enough = "no number of cores does, for the start alone takes longer"
            if found.cores_within is not None:
                enough = f"takes {console.plural(found.cores_within, 'core')} like these"
            yield f"in {console.duration(found.within_seconds)}", enough
        yield "disk", f"{(found.output_bytes or 0) / 1e6:,.1f} MB of predictions"
    elif found.not_measured is not None and found.images:
        yield "time", f"not measured: {found.not_measured}"
    yield "memory", f"about {found.memory_bytes / 1e9:.1f} GB a node"
    asked = found.requests
    if asked.input_reads:
        yield "requests", f"about {asked.input_reads:,} to the input's store"
    if asked.output_writes:
        yield (
            "requests",
            f"about {asked.output_writes:,} writes, {asked.output_reads:,} reads and "
            f"{asked.output_deletions:,} deletions to the output's store",
        )


def seconds_of(text: str) -> float:
    """A span of time in seconds.

    Raises:
        UsageError: it is none.
    """
    from vggbatch.errors import UsageError

    found = _SPAN.fullmatch(text.strip().lower())
    parts = {unit: int(n) for unit, n in found.groupdict().items() if n} if found else {}
    seconds = sum(_UNITS[unit] * count for unit, count in parts.items())
    if not seconds:
        raise UsageError(f"--within {text}: name a time such as 2h, 90m or 1h30m")
    return float(seconds)


plan = job_command(run_plan, within=(Within, None), no_measure=(NoMeasure, False))
