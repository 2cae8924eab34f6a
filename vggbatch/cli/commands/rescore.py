"""The command for metrics of saved predictions."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from vggbatch.cli import completion, console, options

LabelSpecs = Annotated[
    list[str],
    typer.Option(
        "--labels",
        "-l",
        metavar="[NAME=]LABELS[@SUBSET]",
        help="Label file, or `embedded` for the run's own; @imagenet-a, @imagenet-r or @FILE of "
        "classes restricts the classes that compete. Repeat for several.",
    ),
]
ErrorsOption = Annotated[
    Literal["wrong", "left_out"],
    typer.Option("--errors", help="Count images that could not be scored as wrong, or not."),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="The network's class file, where the run has not recorded its classes.",
    ),
]
FileSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.label_assignments,
        help="How label files are read: columns.file, columns.label, indices.start, "
        "indices.names. Else as the run has read them, if it has.",
    ),
]
PartialOption = Annotated[
    bool,
    typer.Option("--partial", help="Take the rows of an unfinished run; says how many they are."),
]


def rescore(
    predictions: Annotated[
        list[str],
        typer.Argument(
            metavar="OUTPUT...",
            help="Output of score or evaluate; of several (or a glob), the rows of all as one.",
        ),
    ],
    labels: LabelSpecs,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUTPUT",
            help="Folder for metrics/ and run.json; without: shown.",
        ),
    ] = None,
    errors: ErrorsOption = "wrong",
    classes: ClassesOption = None,
    partial: PartialOption = False,
    settings: FileSettings = None,
    max_error_rate: Annotated[
        float | None,
        typer.Option(
            "--max-error-rate",
            metavar="0..1",
            min=0,
            max=1,
            help="1 allows that no image has a label; as in the run if not given.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compute metrics again from saved predictions, with other labels; no inference."""
    from vggbatch import api
    from vggbatch.cli.tables import render
    from vggbatch.config import load_label_options
    from vggbatch.executors.pandas_later import postpone_pandas
    from vggbatch.metrics.several import open_sources

    postpone_pandas()
    console.configure(as_json=as_json)
    source = open_sources(predictions, classes, partial=partial)
    if source.synthetic:
        console.warning(f"{source.model['name']} has random weights: these metrics mean nothing")
    evaluation = api.rescore(
        predictions,
        labels,
        output,
        errors=errors,
        classes=classes,
        partial=partial,
        options=load_label_options(settings or ()),
        max_error_rate=max_error_rate,
    )
    console.result(evaluation.to_json(), lambda: console.out.print(render(evaluation)))
