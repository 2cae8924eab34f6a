"""What the JSON files of an output say, as far as any command reads it.

Outputs come from others too: what is read has the types that are listed here, and numbers are
within what a run can write. Of the rest nothing is asked, so that a version that writes more is
read too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from vggbatch.bounds import Count
from vggbatch.chunks.stats import Stats
from vggbatch.config import Selection

Format = Literal[1, 2]
"""Format 1 is read, and not continued: its lists had a fixed size, and its metrics no folders."""
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""Of a profile's folder, as the configuration admits them: none leads out of the output."""
Part = Annotated[str, Field(pattern=r"^predictions/part-[0-9]{6,9}(-[0-9]{3,9})?\.parquet$")]
"""Of a predictions file."""
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


def _known(text: str) -> str:
    Stats.from_json(text)
    return text


class File(TypedDict):
    """A predictions file."""

    name: Part
    rows: Count
    bytes: Count
    footer: str


class Table(TypedDict):
    """A file of metrics."""

    name: Annotated[
        str,
        Field(
            pattern=r"^metrics/\w+(/label_set=[^/\\]+)?(/profile=\w[\w.%-]*)?/part-[0-9]{1,6}\.parquet$",
        ),
    ]
    bytes: Count
    sha256: str


class OldTable(TypedDict):
    """A file of metrics, as format 1 names them."""

    name: Annotated[str, Field(pattern=r"^metrics/([^/\\.][^/\\]*/)?[^/\\]+$")]
    bytes: Count
    sha256: str


class Marker(TypedDict):
    """What declares a group complete."""

    format: Format
    group: NotRequired[Count]
    """The group that it is of, as its name says."""
    plan: NotRequired[_Digest]
    """The ID of the plan that it is of, as its folder says."""
    rows: Count
    files: list[File]
    profiles: dict[Name, list[File]]
    stats: Annotated[str, AfterValidator(_known)]


class PlannedNetwork(TypedDict):
    """A network, in plan.json."""

    sha256: NotRequired[str]


class Event(TypedDict):
    """One of the generations of an output."""

    action: str
    finished: str


class Plan(TypedDict):
    """plan.json."""

    format: Format
    id: _Digest
    rows_per_file_used: NotRequired[Annotated[int, Field(ge=1, lt=2**60)]]
    chunk_size_used: NotRequired[Annotated[int, Field(ge=1, le=4096)]]
    input: NotRequired[list[str]]
    input_digest: NotRequired[str]
    whole_input: NotRequired[str | None]
    select: NotRequired[Selection | None]
    model: NotRequired[PlannedNetwork]
    ensemble: NotRequired[list[PlannedNetwork]]
    labels: NotRequired[list[str]]
    row_labels: NotRequired[str | None]
    profiles: NotRequired[dict[Name, Any]]
    profile_used: NotRequired[str]
    generation: NotRequired[Count]
    """How often the output was revised."""
    revises: NotRequired[_Digest]
    """ID of the plan of the generation before."""
    history: NotRequired[Annotated[list[Event], Field(min_length=1)]]
    merged: NotRequired[list[dict[str, Any]]]


class Declared(TypedDict):
    """What _SUCCESS vouches for."""

    plan: str | None
    files_sha256: str
    record_sha256: NotRequired[str]
    """Of all of run.json."""


class Success(Declared):
    """_SUCCESS."""

    format: Format
    next: NotRequired[Declared]
    """While run.json is replaced by that of the next generation: what vouches for that."""
