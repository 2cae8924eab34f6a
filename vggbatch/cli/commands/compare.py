"""The command for a paired comparison of two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from vggbatch.cli import console, options
from vggbatch.cli.commands.rescore import ClassesOption, ErrorsOption, FileSettings, PartialOption


def compare(
    a: Annotated[str, typer.Argument(metavar="OUTPUT_A", help="Output of the reference run.")],
    b: Annotated[str, typer.Argument(metavar="OUTPUT_B", help="Output of the other run.")],
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
            "--differences", metavar="FILE", help="Parquet file for the images where the runs part."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=0, help="Classes and images to show of each list."
        ),
    ] = 10,
    as_json: options.Json = False,
) -> None:
    """Compare two runs on the same images, image by image: int8 against fp32, say.

    Shows the difference in accuracy with its interval and McNemar's test, the classes that moved
    and the images where the runs part. Without labels, how far they agree.
    """
    from vggbatch import api
    from vggbatch.cli.tables import render_comparison
    from vggbatch.config import load_label_options
    from vggbatch.metrics.comparison.compare import write_differences
    from vggbatch.metrics.rescore import open_source
    from vggbatch.storage.filesystem import Folder

    console.configure(as_json=as_json)
    first, second = (open_source(Folder(uri), classes, partial=partial) for uri in (a, b))
    for name in dict.fromkeys(s.model["name"] for s in (first, second) if s.synthetic):
        console.warning(f"{name} has random weights: what it predicts means nothing")
    comparison = api.compare(
        a,
        b,
        labels=labels,
        errors=errors,
        classes=classes,
        partial=partial,
        options=load_label_options(settings or ()),
    )
    for source in (first, second):
        source.seen.check()  # what was shown of it, and is shown below
    if differences is not None:
        write_differences(comparison, differences)
    names = (first.title, second.title)
    shown = render_comparison(comparison, names, first.class_lines, limit)
    console.result(comparison.to_json(), lambda: console.out.print(shown))
