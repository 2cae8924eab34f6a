"""The options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vggbatch.cli import completion

if TYPE_CHECKING:
    from vggbatch.config import Selection

SOME, AGAIN = "Some of the images", "A finished output again"
VIEWS, METRICS = "Preprocessing and views", "Metrics"
CLUSTER, MESSAGES = "Cores and cluster", "Messages"
"""Headings of the help."""


Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT", help="Folders, shards, globs or list files; paths or URIs."),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="OUTPUT", help="Folder or URI for the output."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        "-l",
        metavar="LABELS",
        rich_help_panel=METRICS,
        help="Label file, or `embedded` (folders, .cls members); @imagenet-a, @imagenet-r or @FILE "
        "of classes behind it restricts the classes that compete, NAME= before it names the set. "
        "Repeat for several sets.",
    ),
]
ErrorPolicy = Annotated[
    Literal["wrong", "left_out"] | None,
    typer.Option(
        "--errors",
        rich_help_panel=METRICS,
        help="In metrics, count images that could not be scored as wrong (default), or not.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        autocompletion=completion.model_names,
        help="Zoo name, NAME@synthetic, or path or URI of an ONNX file.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="YAML file with the settings."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        autocompletion=completion.model_names,
        help="Zoo name, NAME@synthetic, or path or URI of an ONNX file. Repeat for an ensemble, "
        "whose probabilities are averaged.",
    ),
]
Profiles = Annotated[
    str | None,
    typer.Option(
        "--profiles",
        rich_help_panel=VIEWS,
        metavar="NAME,...",
        autocompletion=completion.profile_names,
        help="Preprocessing recipes to score in one pass: all (every plausible one of a zoo "
        "model), or some of gluon256, intel256, gluoncv, zoo, mxnet224, squash, caffe2.",
    ),
]
ProtocolOption = Annotated[
    Literal["center", "ten", "grid", "dense", "grid+dense"] | None,
    typer.Option(
        "--protocol",
        rich_help_panel=VIEWS,
        metavar="NAME",
        help="Views of each image to average: center (one crop, the default), ten (crops), grid "
        "(5 x 5 crops), dense (the whole image), grid+dense; all but the first mirrored too.",
    ),
]
Scales = Annotated[
    str | None,
    typer.Option(
        "--scales",
        metavar="SIZE,...",
        rich_help_panel=VIEWS,
        help="Sizes to resize images to, all of them averaged.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.assignments,
        help="Any setting, such as compute.actors=4; see `vggbatch config`.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        rich_help_panel=CLUSTER,
        help="Ray cluster to join: auto or HOST:PORT.",
    ),
]
Executor = Annotated[
    Literal["auto", "local", "ray"] | None,
    typer.Option(
        "--executor",
        rich_help_panel=CLUSTER,
        help="local: worker processes here; ray: Ray Data; auto (default): ray where there is a "
        "cluster to join.",
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        "--actors", metavar="N", rich_help_panel=CLUSTER, help="Classifier actors in all."
    ),
]
MaxCpus = Annotated[
    int | None,
    typer.Option(
        "--max-cpus",
        metavar="N",
        rich_help_panel=CLUSTER,
        help="Share of a cluster others use too: logical CPUs at most.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", rich_help_panel=CLUSTER, help="Threads (cores) of each actor."
    ),
]
MaxErrorRate = Annotated[
    float | None,
    typer.Option(
        "--max-error-rate",
        metavar="0..1",
        help="Fail if more than this share of images had errors; 0.5 if not given.",
    ),
]
Features = Annotated[
    bool,
    typer.Option(
        "--features",
        help="Also write the last hidden layer's activations: 4096 of a VGG's fc7, after its ReLU.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        rich_help_panel=SOME,
        help="Only the first N images of the input.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        min=1,
        rich_help_panel=SOME,
        help="Only N images, drawn by a hash of their ids: the same whenever and however named.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="S",
        rich_help_panel=SOME,
        help="Of --sample: another seed draws other images (default: 0).",
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="K/N",
        rich_help_panel=SOME,
        help="Only the Kth of N parts of the input; `vggbatch merge` joins their outputs.",
    ),
]
Append = Annotated[
    bool,
    typer.Option(
        "--append",
        rich_help_panel=AGAIN,
        help="Score what INPUT has gained since OUTPUT was finished; OUTPUT stays readable.",
    ),
]
Changed = Annotated[
    bool,
    typer.Option(
        "--changed",
        rich_help_panel=AGAIN,
        help="With --append: score changed images again.",
    ),
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        rich_help_panel=AGAIN,
        help="With --append: remove the rows of images that INPUT has no more.",
    ),
]
Retry = Annotated[
    str | None,
    typer.Option(
        "--retry",
        metavar="ERRORS[=KIND,...]",
        rich_help_panel=AGAIN,
        help="errors: score again, in place, the images of OUTPUT that have an error; "
        "errors=missing,timeout: those of some kinds.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Delete what is in OUTPUT and start again."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        rich_help_panel=MESSAGES,
        help="Show log lines, Ray's too.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        rich_help_panel=MESSAGES,
        help="Show warnings and errors only.",
    ),
]
NoProgress = Annotated[
    bool,
    typer.Option(
        "--no-progress",
        rich_help_panel=MESSAGES,
        help="Show no progress: neither a bar nor lines in its place.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        rich_help_panel=MESSAGES,
        help="Print the result as one JSON document.",
    ),
]


def selection(limit: int | None, sample: int | None, seed: int | None) -> Selection:
    """Which images a command without a job's configuration is about."""
    from vggbatch.config import Selection, validate

    given = {"limit": limit, "sample": sample, "seed": seed}
    known = {name: value for name, value in given.items() if value is not None}
    return validate(Selection, known, origin="options")
