"""The options that several commands share, and the configuration they add up to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from vggbatch.cli import completion, console

if TYPE_CHECKING:
    from vggbatch.config import JobConfig, Selection

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
    typer.Option("--features", help="Also write the last hidden layer's activations: 4096 of fc7."),
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


def job_config(
    inputs: list[str] | None,
    *,
    config: str | None = None,
    settings: list[str] | None = None,
    features: bool = False,
    append: bool = False,
    changed: bool = False,
    prune: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> JobConfig:
    """File < environment < named options < --set."""
    from vggbatch.config import load_config

    return load_config(
        config,
        settings=settings or (),
        options={
            "input": tuple(inputs or ()),
            "features": "float32" if features else None,
            "append": append or None,
            "changed": changed or None,
            "prune": prune or None,
            "overwrite": overwrite or None,
            **{_dotted(name): value for name, value in options.items()},
        },
    )


def selection(limit: int | None, sample: int | None, seed: int | None) -> Selection:
    """Which images a command without a job's configuration is about."""
    from vggbatch.config import Selection, validate

    given = {"limit": limit, "sample": sample, "seed": seed}
    known = {name: value for name, value in given.items() if value is not None}
    return validate(Selection, known, origin="options")


def _dotted(name: str) -> str:
    for section in ("compute", "protocol", "select"):
        name = name.replace(f"{section}_", f"{section}.")
    return name


def _configured(
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
    executor: Executor = None,
    address: Address = None,
    actors: Actors = None,
    threads: Threads = None,
    max_cpus: MaxCpus = None,
    features: Features = False,
    max_error_rate: MaxErrorRate = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    part: Part = None,
    append: Append = False,
    changed: Changed = False,
    prune: Prune = False,
    retry: Retry = None,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
    as_json: Json = False,
) -> Any:  # the type of a configuration is imported for type checkers alone
    """The configuration that a job's options add up to."""
    console.configure(verbose=verbose, quiet=quiet, progress=not no_progress, as_json=as_json)
    return job_config(
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
        compute_executor=executor,
        compute_address=address,
        compute_actors=actors,
        compute_threads=threads,
        compute_max_cpus=max_cpus,
        features=features,
        max_error_rate=max_error_rate,
        select_limit=limit,
        select_sample=sample,
        select_seed=seed,
        select_part=part,
        append=append,
        changed=changed,
        prune=prune,
        retry=retry,
        overwrite=overwrite,
    )


def job_command(action: Callable[..., object], **further: tuple[Any, Any]) -> Callable[..., None]:
    """A command that takes all of a job's options and hands the configuration to `action`.

    Args:
        action: gets it, and what was given of the further options.
        **further: options of this command alone, the type and the default of each.
    """

    def command(**values: Any) -> None:
        own = {name: values.pop(name) for name in further}
        action(_configured(**values), **own)

    kind = inspect.Parameter.KEYWORD_ONLY
    types = get_type_hints(_configured, include_extras=True)
    shared = inspect.signature(_configured).parameters
    given = {name: (types[name], shared[name].default) for name in shared} | further
    command.__annotations__ = {name: annotation for name, (annotation, _) in given.items()}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=default, annotation=annotation)
            for name, (annotation, default) in given.items()
        ]
    )
    command.__doc__ = action.__doc__
    return command
