"""The command for a paired comparison of two runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vggbatch.cli import console
from vggbatch.cli.rescore import ClassesOption, ErrorsOption, Json


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
    differences: Annotated[
        str | None,
        typer.Option("--differences", help="Parquet file for the images where the runs part."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Classes and images to show of each list.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Compare two runs on the same images, image by image: int8 against fp32, say.

    Shows the difference in accuracy with its interval and McNemar's test, the classes that moved
    and the images where the runs part. Without labels, how far they agree.
    """
    from vggbatch.metrics.compare import compare_runs, write_differences
    from vggbatch.metrics.render import render_comparison
    from vggbatch.metrics.rescore import open_source
    from vggbatch.metrics.sets import label_sets
    from vggbatch.storage import Folder

    first, second = open_source(Folder(a), classes), open_source(Folder(b), classes)
    for source in (first, second):
        if source.synthetic:
            console.warning(f"{source.model['name']} has made-up weights: it means nothing")
    lines = first.class_lines
    [label_set] = label_sets([labels], first.folder, lines)
    comparison = compare_runs(
        first.folder, second.folder, label_set, class_lines=lines, errors=errors
    )
    if differences is not None:
        write_differences(comparison, differences)
    if as_json:
        print(json.dumps(comparison.to_json(), indent=1))
        return
    names = (first.title, second.title)
    console.out.print(render_comparison(comparison, names, lines, limit))
