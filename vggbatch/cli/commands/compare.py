"""The command for a paired comparison of two runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vggbatch.cli import console, options
from vggbatch.cli.commands.rescore import ClassesOption, ErrorsOption, FileSettings, PartialOption


def compare(
    outputs: Annotated[
        list[str],
        typer.Argument(
            metavar="OUTPUT...",
            help="Outputs of runs, two or more, the reference first; a quoted glob is one of them.",
        ),
    ],
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            "-l",
            metavar="LABELS[@SUBSET]",
            help="Label file, or `embedded` for the labels that the runs recorded.",
        ),
    ] = "embedded",
    errors: ErrorsOption = "wrong",
    classes: ClassesOption = None,
    partial: PartialOption = False,
    settings: FileSettings = None,
    differences: Annotated[
        str | None,
        typer.Option(
            "--differences", metavar="FILE", help="Parquet file for the images where two runs part."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=0, help="Classes and images to show of two runs' lists."
        ),
    ] = 10,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write the table of the runs as a page, too."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare runs on the same images, image by image: int8 against fp32, say.

    Of two, shows the difference in accuracy with its interval and McNemar's test, the classes that
    moved and the images where the runs part; of more, a table with the accuracy of each and its
    difference from the first. Without labels, how far they agree.
    """
    from vggbatch import api
    from vggbatch.cli.comparison_tables import render_comparison, render_leaderboard
    from vggbatch.config import load_label_options
    from vggbatch.errors import UsageError
    from vggbatch.executors.pandas_later import postpone_pandas
    from vggbatch.metrics.comparison.compare import write_differences
    from vggbatch.metrics.several import open_sources

    postpone_pandas()
    console.configure(as_json=as_json)
    if len(outputs) > 2 and differences is not None:
        raise UsageError("--differences is for two outputs: name the two whose images to list")
    sources = [open_sources([uri], classes, partial=partial) for uri in outputs]
    for name in dict.fromkeys(source.networks for source in sources if source.synthetic):
        console.warning(f"{name} has random weights: what it predicts means nothing")
    how: dict[str, Any] = {"labels": labels, "errors": errors, "classes": classes}
    how |= {"partial": partial, "options": load_label_options(settings or ())}
    if len(outputs) != 2 or html is not None:
        board = api.leaderboard(outputs, **how, page=html)
        if len(outputs) != 2:
            console.result(board.to_json(), lambda: console.out.print(render_leaderboard(board)))
            return
    comparison = api.compare(outputs[0], outputs[1], **how)
    for source in sources:
        source.seen.check()  # what was shown of it, and is shown below
    if differences is not None:
        write_differences(comparison, differences)
    first, second = sources
    shown = render_comparison(comparison, (first.title, second.title), first.class_lines, limit)
    console.result(comparison.to_json(), lambda: console.out.print(shown))
