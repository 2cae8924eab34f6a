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

    announce(api.plan(config))


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
