"""The command for the pages about runs."""

from __future__ import annotations

from typing import Annotated

import typer

from vggbatch.cli import console
from vggbatch.cli.commands.rescore import ClassesOption


def report(
    outputs: Annotated[
        list[str],
        typer.Argument(
            metavar="OUTPUT...",
            help="Output of score, evaluate or rescore; of several (or a glob), one page of all.",
        ),
    ],
    page: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the page of several goes."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="OUTPUT", help="Compare with this run, the reference, instead."
        ),
    ] = None,
    gallery: Annotated[
        int, typer.Option("--gallery", metavar="N", min=4, max=200, help="Images in each gallery.")
    ] = 24,
    classes: ClassesOption = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            metavar="FOLDER",
            help="Of a run that you have not recorded on this machine, show images that are below "
            "this folder or URI. Repeat.",
        ),
    ] = None,
) -> None:
    """Write OUTPUT/report.html: figures, charts and galleries in one file for any browser.

    With --against, OUTPUT/comparison.html: what changed between two runs, image by image.
    """
    from vggbatch import api
    from vggbatch.executors.pandas_later import postpone_pandas

    postpone_pandas()
    written = api.write_report(
        outputs, page=page, against=against, classes=classes, gallery=gallery, images=images or ()
    )
    console.line(written)
