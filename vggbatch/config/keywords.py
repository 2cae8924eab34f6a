"""A configuration out of what a Python caller says: an input and keyword options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Literal, TypedDict

from vggbatch import uris
from vggbatch.config.load import load_config, validate
from vggbatch.config.protocol import Protocol
from vggbatch.config.schema import (
    ColumnOptions,
    ComputeOptions,
    DecodeOptions,
    IndexOptions,
    JobConfig,
    ModelOptions,
)
from vggbatch.config.selection import Selection

Location = str | PathLike[str]
"""A path or URI."""
Input = JobConfig | Location | Sequence[Location]
"""A whole job, or its input: folders, shards, globs, list files, paths or URIs."""


class JobOptions(TypedDict, total=False):
    """The settings of a job beside its input, see `JobConfig`."""

    output: Location
    select: Mapping[str, Any] | Selection
    labels: Location | Sequence[Location]
    errors: Literal["wrong", "left_out"]
    columns: Mapping[str, Any] | ColumnOptions
    indices: Mapping[str, Any] | IndexOptions
    model: Location | Mapping[str, Any] | ModelOptions
    ensemble: Sequence[Location | Mapping[str, Any] | ModelOptions]
    profiles: str | Sequence[str] | Mapping[str, Any]
    protocol: str | Mapping[str, Any] | Protocol
    decode: Mapping[str, Any] | DecodeOptions
    compute: Mapping[str, Any] | ComputeOptions
    features: Literal["float32", "float16"] | None
    chunk_size: int | None
    rows_per_file: int | None
    max_error_rate: float | None
    append: bool
    changed: bool
    prune: bool
    retry: str | None
    overwrite: bool
    cache_dir: Location | None
    cache_trusted: bool
    mirrors: Sequence[str]
    allow_protocols: Sequence[str]


def job_config(input: Input, options: Mapping[str, Any]) -> JobConfig:
    """The configuration of a job.

    Args:
        input: a job, whose settings the options replace; or the input of a new one, for which
            the environment variables VGGBATCH_... count too.
        options: settings by their names in `JobConfig`, see `JobOptions`.

    Raises:
        UsageError: an unknown option, or a bad value.
    """
    plain = {name: _plain(value) for name, value in options.items()}
    if isinstance(input, JobConfig):
        config = validate(JobConfig, input.model_dump() | plain, origin="options")
        uris.allow(config.allow_protocols)
        return config
    several = not isinstance(input, str | PathLike)
    return load_config(options={"input": _plain(input) if several else (_plain(input),), **plain})


def _plain(value: Any) -> Any:
    """Paths as text, also inside of a sequence."""
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, list | tuple):
        return tuple(_plain(part) for part in value)
    return value
