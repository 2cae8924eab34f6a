"""The options that several commands share, and the configuration they add up to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from vggbatch.cli import console
from vggbatch.config import JobConfig, load_config

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...", help="Folders, shards, globs or list files; any fsspec URI."
    ),
]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Folder or URI for the output.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        "-l",
        metavar="[NAME=]LABELS[@SUBSET]",
        help="Label file, or `embedded` (folders, .cls members); @imagenet-a, @imagenet-r or @FILE "
        "of classes restricts the classes that compete. Repeat for several sets.",
    ),
]
ErrorPolicy = Annotated[
    Literal["wrong", "left_out"] | None,
    typer.Option(
        "--errors",
        help="In metrics, count images that could not be scored as wrong (default), or not.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Zoo name, NAME@synthetic, or an ONNX file."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Zoo name, NAME@synthetic, or an ONNX file. Repeat for an ensemble, whose "
        "probabilities are averaged.",
    ),
]
Profiles = Annotated[
    str | None,
    typer.Option(
        "--profiles",
        metavar="NAME,...",
        help="Preprocessing recipes to score in one pass: zoo, squash, mxnet224, caffe2.",
    ),
]
ProtocolOption = Annotated[
    Literal["center", "ten", "grid", "dense", "grid+dense"] | None,
    typer.Option(
        "--protocol",
        help="Views of each image to average: the centre crop (default), ten crops, a 5 x 5 grid "
        "of crops, the whole image, or the last two together; all but the first mirrored too.",
    ),
]
Scales = Annotated[
    str | None,
    typer.Option(
        "--scales", metavar="SIZE,...", help="Sizes to resize images to, all of them averaged."
    ),
]
Config = Annotated[str | None, typer.Option("--config", "-c", help="YAML file with the settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as compute.actors=4."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT."),
]
Actors = Annotated[int | None, typer.Option("--actors", help="Classifier actors in all.")]
MaxCpus = Annotated[
    int | None,
    typer.Option("--max-cpus", help="Share of a cluster others use too: logical CPUs at most."),
]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads (cores) of each actor.")]
MaxErrorRate = Annotated[
    float | None,
    typer.Option("--max-error-rate", help="Fail if more than this share of images had errors."),
]
Features = Annotated[
    bool, typer.Option("--features", help="Also write the 4096 fc7 activations of each image.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Delete what is in OUTPUT and start anew.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show log lines, Ray's too.")]


def job_config(
    inputs: list[str] | None,
    *,
    config: str | None = None,
    settings: list[str] | None = None,
    features: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> JobConfig:
    """File < environment < named options < --set."""
    return load_config(
        config,
        settings=settings or (),
        options={
            "input": tuple(inputs or ()),
            "features": "float32" if features else None,
            "overwrite": overwrite or None,
            **{_dotted(name): value for name, value in options.items()},
        },
    )


def _dotted(name: str) -> str:
    return name.replace("compute_", "compute.").replace("protocol_", "protocol.")


def job_command(action: Callable[[JobConfig], object]) -> Callable[..., None]:
    """A command that takes all of a job's options and hands the configuration to `action`."""

    def command(
        inputs: Inputs = None,
        output: Output = None,
        labels: Labels = None,
        errors: ErrorPolicy = None,
        model: Models = None,
        profiles: Profiles = None,
        protocol: ProtocolOption = None,
        scales: Scales = None,
        config: Config = None,
        settings: Settings = None,
        address: Address = None,
        actors: Actors = None,
        threads: Threads = None,
        max_cpus: MaxCpus = None,
        features: Features = False,
        max_error_rate: MaxErrorRate = None,
        overwrite: Overwrite = False,
        verbose: Verbose = False,
    ) -> None:
        console.set_verbosity(verbose)
        action(
            job_config(
                inputs,
                output=output,
                labels=tuple(labels or ()),
                errors=errors,
                model=model[0] if model else None,
                ensemble=model[1:] if model else None,
                profiles=profiles,
                protocol=protocol,
                protocol_scales=scales,
                config=config,
                settings=settings,
                compute_address=address,
                compute_actors=actors,
                compute_threads=threads,
                compute_max_cpus=max_cpus,
                features=features,
                max_error_rate=max_error_rate,
                overwrite=overwrite,
            )
        )

    command.__doc__ = action.__doc__
    return command
