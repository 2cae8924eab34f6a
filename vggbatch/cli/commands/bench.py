"""The command that measures vggbatch beside its peers and the machine's limit."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from vggbatch.cli import console, options
from vggbatch.cli.job_command import job_config

_DEMO_MODEL = "vgg16-12@synthetic"
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
    from vggbatch.bench.benchmark import OUTPUT, benchmark
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
    # what a benchmark has started must not outlive it
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with console.interruptible():
        summary = benchmark(
            job,
            models=[*(models or []), *([int8] if int8 else [])],
            images=images,
            rounds=rounds,
            only=only or (),
            skip=skip or (),
            score_settings=settings or (),
            on_progress=console.note,
        )
    # a table that is cut to the terminal loses figures; long lines wrap
    console.out.print(render(summary), width=max(console.out.width, WIDTH), crop=False)
    folder = job.output or OUTPUT
    console.out.print(f"\n{folder}/bench.json, bench.parquet, bench.txt", soft_wrap=True)
