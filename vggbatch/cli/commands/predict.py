"""The command for a look at a few images."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from vggbatch.cli import console, options
from vggbatch.cli.commands.score import warn_of_assumptions
from vggbatch.cli.job_command import job_config
from vggbatch.cli.one_line import cell
from vggbatch.errors import JobFailed

if TYPE_CHECKING:
    from vggbatch.job.job import Job


def predict(
    inputs: options.Inputs = None,
    model: options.Model = None,
    config: options.Config = None,
    settings: options.Settings = None,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Show the top-5 of images on the terminal; no cluster, no output."""
    from vggbatch import api
    from vggbatch.executors.pandas_later import postpone_pandas
    from vggbatch.sources.base import left_out_of
    from vggbatch.sources.input_warnings import input_warnings_of

    postpone_pandas()
    console.configure(verbose=verbose, as_json=as_json)
    job = job_config(inputs=inputs, model=model, config=config, settings=settings)
    if job.model.name.endswith("@synthetic"):
        console.warning(f"{job.model.name} has random weights: its predictions mean nothing")
    table = api.predict(job, announce=_announce)
    rows, left_out = table.to_pylist(), input_warnings_of(left_out_of(table))
    document = {"model": job.model.name, "images": rows, "left_out": list(map(asdict, left_out))}
    console.result(document, lambda: _show(rows))
    for kind in left_out:
        console.note(f"no rows: {kind}")
    failed = sum(row["error"] is not None for row in rows)
    if failed:
        raise JobFailed(f"{failed} of {len(rows)} images could not be scored")


def _announce(job: Job) -> None:
    for odd in job.input_warnings:
        if odd.what not in job.left_out:  # which is said with what shards hold, at the end
            console.note(f"input: {odd}")
    warn_of_assumptions(job)


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("image", "class", "probability"):
        table.add_column(name, justify="right" if name == "probability" else "left")
    for row in rows:
        if row["error"]:
            table.add_row(cell(row["image_id"]), f"[red]{cell(row['error'])}[/]", "")
            continue
        for rank, (synset, probability) in enumerate(
            zip(row["top5_synset"], row["top5_probability"], strict=True)
        ):
            table.add_row(
                cell(row["image_id"]) if rank == 0 else "",
                cell(synset),
                f"{probability:.4f}",
            )
    console.out.print(table)
