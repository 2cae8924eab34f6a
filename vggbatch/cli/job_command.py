"""The commands that take all of a job's options, and the configuration these add up to."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, get_args

from vggbatch.cli import console, options

if TYPE_CHECKING:
    from vggbatch.config import JobConfig

_OF_JOBS: dict[str, Any] = {
    "inputs": options.Inputs,
    "output": options.Output,
    "labels": options.Labels,
    "errors": options.ErrorPolicy,
    "model": options.Models,
    "profiles": options.Profiles,
    "protocol": options.ProtocolOption,
    "scales": options.Scales,
    "config": options.Config,
    "settings": options.Settings,
    "executor": options.Executor,
    "address": options.Address,
    "actors": options.Actors,
    "threads": options.Threads,
    "max_cpus": options.MaxCpus,
    "features": options.Features,
    "max_error_rate": options.MaxErrorRate,
    "limit": options.Limit,
    "sample": options.Sample,
    "seed": options.Seed,
    "part": options.Part,
    "append": options.Append,
    "changed": options.Changed,
    "prune": options.Prune,
    "retry": options.Retry,
    "overwrite": options.Overwrite,
    "verbose": options.Verbose,
    "quiet": options.Quiet,
    "no_progress": options.NoProgress,
    "as_json": options.Json,
}
"""The options of a job, in the order of the help."""

_SETTINGS = {
    "inputs": "input",
    "scales": "protocol.scales",
    "executor": "compute.executor",
    "address": "compute.address",
    "actors": "compute.actors",
    "threads": "compute.threads",
    "max_cpus": "compute.max_cpus",
    "limit": "select.limit",
    "sample": "select.sample",
    "seed": "select.seed",
    "part": "select.part",
}
"""The settings of those that are not called as theirs."""


_NO_SETTINGS = {"config", "settings", "verbose", "quiet", "no_progress", "as_json"}
_ENV_PREFIX = "VGGBATCH_"
"""As `vggbatch.config.load.ENV_PREFIX`, which takes long to import."""


def variable(name: str) -> str | None:
    """The environment variable of an option's setting; None where it has none."""
    if name in _NO_SETTINGS:
        return None
    return _ENV_PREFIX + _SETTINGS.get(name, name).replace(".", "__").upper()


def _naming_variable(name: str, kind: Any) -> Any:
    """An option whose help names the environment variable of its setting."""
    found = variable(name)
    if found is None:
        return kind
    values, option = get_args(kind)
    option = copy.copy(option)
    option.help = f"{option.help} [${found}]"
    return Annotated[values, option]


def job_config(
    *,
    config: str | None,
    settings: list[str] | None,
    model: str | list[str] | None = None,
    features: bool = False,
    **others: Any,
) -> JobConfig:
    """File < environment < named options < --set.

    Args:
        config: the file.
        settings: what --set was given.
        model: the network, or those of an ensemble.
        features: whether they are wanted.
        **others: options of a job. What is None, off or without values was not given.
    """
    from vggbatch.config import load_config

    first, *more = model if isinstance(model, list) and model else [model]
    given: dict[str, Any] = {
        "model": first,
        "ensemble": more,
        "features": "float32" if features else None,
    }
    given |= {_SETTINGS.get(name, name): value for name, value in others.items()}
    return load_config(
        config,
        settings=settings or (),
        options={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in given.items()
            if not (value is None or value is False or value == [])
        },
    )


def job_command(action: Callable[..., object], **further: tuple[Any, Any]) -> Callable[..., None]:
    """A command that takes all of a job's options and hands the configuration to `action`.

    Args:
        action: gets it, and what was given of the further options.
        **further: options of this command alone, the type and the default of each.
    """

    def command(
        verbose: bool, quiet: bool, no_progress: bool, as_json: bool, **values: Any
    ) -> None:
        console.configure(verbose=verbose, quiet=quiet, progress=not no_progress, as_json=as_json)
        own = {name: values.pop(name) for name in further}
        action(job_config(**values), **own)

    given = {
        name: (_naming_variable(name, kind), _default(kind)) for name, kind in _OF_JOBS.items()
    }
    command.__annotations__ = {name: kind for name, (kind, _) in (given | further).items()}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )
            for name, (kind, default) in (given | further).items()
        ]
    )
    command.__doc__ = action.__doc__
    return command


def _default(kind: Any) -> bool | None:
    """False of a flag, of other options None."""
    return False if get_args(kind)[0] is bool else None
