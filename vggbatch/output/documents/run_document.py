"""What run.json says, as far as any command reads it; see fields.py.

It is of a run or of `rescore`, and of this format or of format 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from vggbatch.bounds import Count, Rate, Seconds
from vggbatch.chunks.throughput import LONGEST
from vggbatch.config import ColumnOptions, IndexOptions, LabelOptions, Protocol, Selection
from vggbatch.output.documents.fields import File, Format, Name, OldTable, Table

_Share = Annotated[float, Field(ge=0, le=1)]


class Network(TypedDict):
    """A network, in run.json."""

    name: str
    synthetic: bool
    sha256: NotRequired[str]
    classes_sha256: str


class Counts(TypedDict):
    """How many images there are."""

    images: Count
    errors: Count
    errors_by_kind: dict[str, Count]


class Preprocess(TypedDict):
    """How images were prepared."""

    profile: str


class Views(TypedDict):
    """Which views of an image were averaged."""

    views: str
    scales: list[Count]
    views_an_image: Count


class Rates(TypedDict):
    """How fast the run was."""

    images_per_second: Rate
    images_this_run: Count


def _in_order(images: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if any(before >= after for (before, _), (after, _) in pairwise(images)):
        raise ValueError("it is not in the order of time")
    return images


class Throughput(TypedDict):
    """Images over time."""

    start: str
    interval_seconds: Annotated[int, Field(ge=1, lt=2**37)]
    images: Annotated[
        list[tuple[Annotated[int, Field(ge=0, lt=2**37)], Count]],
        Field(min_length=1, max_length=LONGEST),
        AfterValidator(_in_order),
    ]


class LeftOut(TypedDict):
    """What is no row, or was of no use, of a kind."""

    what: str
    count: Count
    examples: list[str]


class Assumption(TypedDict):
    """What nobody stated about a network."""

    what: str
    value: str
    because: str


class Config(TypedDict):
    """The settings of a run."""

    labels: list[str]
    max_error_rate: _Share | None
    errors: NotRequired[Literal["wrong", "left_out"]]
    protocol: Protocol
    decode: dict[str, Any]
    columns: NotRequired[ColumnOptions]
    indices: NotRequired[IndexOptions]
    select: NotRequired[Selection]


class AnyScored(TypedDict):
    """run.json of a run, as both formats have it."""

    format: Format
    plan: str
    files: list[File]
    finished: str
    model: Network
    classes: NotRequired[list[str] | None]
    """Of a network with classes other than the project's."""
    ensemble: list[Network]
    preprocess: Preprocess
    protocol: Views
    counts: Counts
    config: Config
    row_labels: str | None
    profiles: Annotated[list[Name], Field(min_length=1)]
    profile: Name | None
    rates: Rates
    timings: dict[str, Seconds]
    throughput: Throughput | None
    versions: NotRequired[dict[str, str | None]]
    executor: NotRequired[str | None]
    left_out: NotRequired[list[LeftOut]]
    unused_labels: NotRequired[list[LeftOut]]
    warnings: NotRequired[list[str]]
    """What is wrong with the run as a whole."""
    assumptions: NotRequired[list[Assumption]]
    """What nobody stated about the networks."""


class Scored(AnyScored):
    """run.json of a run, in this format."""

    metrics: list[dict[str, Any]] | None
    """The lines of the summary; None: it was not evaluated."""
    tables: list[Table] | None


class OldScored(AnyScored):
    """run.json of a run, in format 1."""

    metrics: list[OldTable] | None


class KnownNetwork(TypedDict):
    """As much of a network as metrics want."""

    name: str
    synthetic: bool
    sha256: NotRequired[str]
    classes_sha256: NotRequired[str]


class KnownConfig(TypedDict):
    """As much of the settings as metrics want."""

    protocol: NotRequired[Protocol]
    labels: NotRequired[list[str]]
    columns: NotRequired[ColumnOptions]
    indices: NotRequired[IndexOptions]
    max_error_rate: NotRequired[_Share | None]


class Rescoring(TypedDict):
    """What was scored again, and how."""

    predictions: str | Annotated[list[str], Field(min_length=1)]
    labels: list[str]
    plan: NotRequired[str | None]
    """ID of the run whose predictions they were."""
    plans: NotRequired[list[str | None]]
    """The same of several outputs."""
    options: NotRequired[LabelOptions]
    """Those given to `rescore`."""


class Known(TypedDict):
    """As much of run.json as metrics of its predictions want, which can do without any of it."""

    format: NotRequired[Format]
    files: NotRequired[list[File]]
    tables: NotRequired[list[Table] | None]
    model: NotRequired[KnownNetwork]
    classes: NotRequired[list[str] | None]
    ensemble: NotRequired[list[KnownNetwork]]
    config: NotRequired[KnownConfig]
    plan: NotRequired[str | None]
    profile: NotRequired[Name | None]
    profiles: NotRequired[list[Name]]
    rescored: NotRequired[Rescoring]


class AnyRescored(TypedDict):
    """run.json of `rescore`: what is known of the run, which may be nothing."""

    format: Format
    finished: str
    rescored: Rescoring
    model: NotRequired[Network]
    ensemble: NotRequired[list[Network]]
    preprocess: NotRequired[Preprocess]
    protocol: NotRequired[Views]
    counts: NotRequired[Counts]


class Rescored(AnyRescored):
    """run.json of `rescore`, in this format."""

    metrics: list[dict[str, Any]]
    tables: list[Table]


class OldRescored(AnyRescored):
    """run.json of `rescore`, in format 1."""

    metrics: list[OldTable]
