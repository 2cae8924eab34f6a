"""The command that joins outputs to one."""

from __future__ import annotations

from typing import Annotated

import typer

from vggbatch.cli import console, options


def merge(
    outputs: Annotated[
        list[str],
        typer.Argument(metavar="OUTPUT...", help="Finished outputs: parts of one input, or days."),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUTPUT", help="Folder or URI for the rows of all."),
    ],
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Join finished outputs to one, without decoding an image or a row.

    Parts (score --part) must all be there, other outputs have no image in common; all are of the
    same network and settings. Metrics are computed for the whole.
    """
    from vggbatch import api

    console.configure(as_json=as_json)
    with console.interruptible():
        record = api.merge(outputs, output, overwrite=overwrite)
    counts = record["counts"]
    shown = {key: record[key] for key in ("counts", "merged", "metrics", "left_out")}

    def show() -> None:
        console.facts(
            [
                ("outputs", f"{len(record['merged']):,}"),
                ("images", f"{counts['images']:,}"),
                ("errors", f"{counts['errors']:,}"),
                ("output", output),
            ]
        )

    console.result({"output": record["config"]["output"], **shown}, show)
