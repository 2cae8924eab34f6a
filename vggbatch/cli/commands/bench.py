"""The command that measures vggbatch beside its peers and the machine's limit."""

from __future__ import annotations

import signal
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vggbatch.cli import console, options
from vggbatch.cli.job_command import job_config

_DEMO_MODEL = "vgg16-12@synthetic"
_DEMO_IMAGES = 40
_OUTPUT = "bench-output"


def bench(
    inputs: options.Inputs = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help=f"Folder for the figures (default: {_OUTPUT})."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help=f"fp32 network, as score takes it (default: {_DEMO_MODEL}).",
        ),
    ] = None,
    int8: Annotated[
        str | None, typer.Option("--int8", metavar="MODEL", help="The same network in int8.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            "-n",
            metavar="N",
            min=1,
            help="Images to score; INPUT is repeated under other names.",
        ),
    ] = None,
    limit: options.Limit = None,
    sample: options.Sample = None,
    seed: options.Seed = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Rounds over all.")
    ] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="System to run; repeat for several."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="NAME", help="System to leave out; repeat."),
    ] = None,
    address: options.Address = None,
    config: options.Config = None,
    settings: options.Settings = None,
) -> None:
    """Measure vggbatch beside bare onnxruntime, plain loops, Ray Data, Daft, and the limit.

    All read the same images, one after the other, in rounds; each in processes of its own. Repeat a
    command that was interrupted and it continues. Without INPUT it takes the photographs that come
    with vggbatch and a network of random weights. It needs minutes: see --only and --images.

    Systems: bare, prepared, decoding, loop1, loop, ray, daft, torch, openvino, cold, vggbatch.
    `prepared` is onnxruntime alone on the graph that vggbatch runs, of which the limit is made;
    `cold` is vggbatch with nothing prepared.
    """
    from vggbatch.bench.bench import Settings
    from vggbatch.bench.bench import bench as run
    from vggbatch.bench.registry import choose
    from vggbatch.bench.render import WIDTH, render

    job = job_config(
        inputs=inputs,
        output=output,
        address=address,
        limit=limit,
        sample=sample,
        seed=seed,
        config=config,
        settings=settings,
    )
    chosen = choose(only or (), skip or ())
    names = [*(models or []), *([int8] if int8 else [])]
    folder = Path(job.output or _OUTPUT)
    # what a benchmark has started must not outlive it
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with console.interruptible(), as_file(files("vggbatch") / "demo" / "images") as demo:
        summary = run(
            Settings(
                inputs=job.input or (str(demo),),
                models=tuple(names or [job.model.name if job.input else _DEMO_MODEL]),
                images=images or (None if job.input else _DEMO_IMAGES),
                rounds=rounds,
                systems=tuple(chosen),
                score_settings=tuple(settings or ()),
                select=None if job.select.everything else job.select.model_dump(),
                address=job.compute.address,
            ),
            job,
            folder,
            console.note,
        )
    table = render(summary)
    # a table that is cut to the terminal loses figures; long lines wrap
    console.out.print(table, width=max(console.out.width, WIDTH), crop=False)
    with (folder / "bench.txt").open("w") as file:
        Console(file=file, width=WIDTH).print(table)
    console.out.print(f"\n{folder}/bench.json, bench.parquet, bench.txt", soft_wrap=True)
