"""The commands that run the pipeline: score, evaluate, and plan, which checks and runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from vggbatch.cli import console, options

if TYPE_CHECKING:
    from vggbatch.api import Scored
    from vggbatch.config import JobConfig
    from vggbatch.pipeline.job import Job


def run_score(config: JobConfig) -> Scored:
    """Write the top-5 predictions of images to Parquet.

    Repeat a command that was interrupted and it goes on where it stopped.
    """
    from vggbatch import api

    with console.interruptible(), console.progress() as listener:
        scored = api.score(config, listener=listener, announce=announce)
    summarise(scored)
    return scored


def run_evaluate(config: JobConfig) -> Scored:
    """Score labelled images, and write the metrics beside the predictions."""
    from vggbatch import api
    from vggbatch.metrics.render import render

    with console.interruptible(), console.progress() as listener:
        scored = api.evaluate(config, listener=listener, announce=announce)
    assert scored.evaluation is not None
    console.out.print(render(scored.evaluation))
    console.out.print()
    summarise(scored)
    return scored


def run_plan(config: JobConfig) -> None:
    """Check all that score or evaluate would need, list what would run, and run nothing."""
    from vggbatch import api

    found = api.plan(config)
    job = found.job
    table = Table.grid(padding=(0, 2))
    for count in found.formats:
        images = ("" if count.exact else "about ") + console.plural(count.images, "image")
        shards = f" in {console.plural(count.shards, 'shard')}" if count.shards else ""
        table.add_row("input", f"{count.format}: {images}{shards}, {count.bytes / 1e6:,.1f} MB")
    synthetic = " (random weights: predictions mean nothing)" if job.model.synthetic else ""
    table.add_row("model", escape(f"{job.model.name}{synthetic}, SHA-256 {job.model.sha256[:16]}"))
    parts = job.preprocess
    table.add_row(
        "preprocessing",
        f"{job.profile}: {parts.resize_mode} side {parts.resize}, {parts.interpolation}, "
        f"crop {parts.crop}, {parts.channels}",
    )
    if found.labels is not None:
        missing = ", ".join(found.labels.examples)
        unmatched = f", {found.labels.unmatched:,} without: {missing}" if missing else ""
        table.add_row("labels", escape(f"{found.labels.matched:,} images have one{unmatched}"))
    elif job.labels is not None:
        table.add_row("labels", "matched when the shards are opened")
    if found.placement is None:
        table.add_row(
            "placement", f"decided by the cluster at {escape(str(config.compute.address))}"
        )
    else:
        place = found.placement
        table.add_row(
            "placement",
            f"{console.plural(place.actors, 'classifier')} of "
            f"{console.plural(place.threads, 'thread')} each and "
            f"{console.plural(place.decode_tasks, 'decoding task')} on {place.cpus} CPUs",
        )
    table.add_row("chunks", f"of {job.chunk_size} images")
    table.add_row("output", escape(f"{config.output}: {found.output}"))
    console.out.print(table, soft_wrap=True)


def announce(job: Job) -> None:
    """Say what will run."""
    model = job.model
    if model.synthetic:
        console.warning(
            f"{model.name} has random weights made on this machine: its predictions mean nothing"
        )
    listed = all(shard.members is not None for shard in job.shards)
    images = ("" if listed else "about ") + console.plural(job.estimated_images, "image")
    shards = sum(shard.members is None for shard in job.shards)
    where = f" in {console.plural(shards, 'shard')}" if shards else ""
    console.note(f"{images}{where}, {model.name}, preprocessing {job.profile}")


def summarise(scored: Scored) -> None:
    """The end of a run: counts, rate, and where the output is."""
    counts, result = scored.record["counts"], scored.result
    table = Table.grid(padding=(0, 2))
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts["errors_by_kind"].items())
    table.add_row("images", f"{counts['images']:,}")
    table.add_row("errors", f"{counts['errors']:,}" + (f" ({escape(kinds)})" if kinds else ""))
    if result.complete_before:
        table.add_row("rate", "nothing was left to do")
    else:
        table.add_row(
            "rate", f"{result.images_per_second:.1f} images/s, {result.seconds:.1f} s in all"
        )
    table.add_row("output", escape(result.output.folder.uri))
    console.out.print(table, soft_wrap=True)
    if scored.record["model"]["synthetic"]:
        console.warning("synthetic weights: these predictions mean nothing")


score = options.job_command(run_score)
evaluate = options.job_command(run_evaluate)
plan = options.job_command(run_plan)
