"""The JSON files of an output as they are read: what another version or a crash left is refused.

Each has the number of its format. A later one is refused; of the same one is checked what readers
use, and nothing more, so that a version that writes more is read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from vggbatch import json_text
from vggbatch.chunks.stats import Stats
from vggbatch.config import ColumnOptions, IndexOptions, LabelOptions, Protocol, Selection
from vggbatch.errors import UsageError

FORMAT = 2
"""Of plan.json, markers, run.json and _SUCCESS, and of all that follows from a plan: how shards are
cut into chunks, names, columns. Raised when a run that was begun before could not be continued
exactly as it was planned; tests/end_to_end/test_formats_of_outputs.py finds out."""

_Format = Literal[1, 2]
"""Format 1 is read, and not continued: its lists had a fixed size, and its metrics no folders."""
_Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""Of a profile's folder, as the configuration admits them: none leads out of the output."""
_Part = Annotated[str, Field(pattern=r"^predictions/part-[0-9]{6,}(-[0-9]{3,})?\.parquet$")]
"""Of a predictions file."""
_Count = Annotated[int, Field(ge=0)]


def _known(text: str) -> str:
    Stats.from_json(text)
    return text


class Damaged(UsageError):
    """A document that cannot be read and says of no later version that it wrote it."""

    reason = ""
    """Of that, in a few words."""


class _File(TypedDict):
    name: _Part
    rows: _Count
    bytes: _Count
    footer: str


class _Table(TypedDict):
    name: Annotated[
        str,
        Field(
            pattern=r"^metrics/\w+(/label_set=[^/\\]+)?(/profile=\w[\w.%-]*)?/part-[0-9]{1,6}\.parquet$",
        ),
    ]
    bytes: _Count
    sha256: str


class _OldTable(TypedDict):
    name: Annotated[str, Field(pattern=r"^metrics/([^/\\.][^/\\]*/)?[^/\\]+$")]
    bytes: _Count
    sha256: str


class _Marker(TypedDict):
    format: _Format
    group: NotRequired[_Count]
    """The group that it is of, as its name says."""
    rows: _Count
    files: list[_File]
    profiles: dict[_Name, list[_File]]
    stats: Annotated[str, AfterValidator(_known)]


class _Plan(TypedDict):
    format: _Format
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    rows_per_file_used: NotRequired[Annotated[int, Field(ge=1)]]
    chunk_size_used: NotRequired[Annotated[int, Field(ge=1)]]
    input_digest: NotRequired[str]
    labels: NotRequired[list[str]]
    row_labels: NotRequired[str | None]
    profiles: NotRequired[dict[_Name, Any]]
    profile_used: NotRequired[str]
    generation: NotRequired[_Count]
    """How often the output was revised."""
    revises: NotRequired[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]]
    """ID of the plan of the generation before."""


class _Network(TypedDict):
    name: str
    synthetic: bool
    classes_sha256: str


class _Counts(TypedDict):
    images: _Count
    errors: _Count
    errors_by_kind: dict[str, int]


class _Preprocess(TypedDict):
    profile: str


class _Views(TypedDict):
    views: str
    scales: list[int]
    views_an_image: int


class _Rates(TypedDict):
    images_per_second: float
    images_this_run: int


class _Throughput(TypedDict):
    start: str
    interval_seconds: int
    images: list[tuple[int, int]]


class _LeftOut(TypedDict):
    what: str
    count: _Count
    examples: list[str]


class _Assumption(TypedDict):
    what: str
    value: str
    because: str


class _Config(TypedDict):
    labels: list[str]
    max_error_rate: float | None
    protocol: Protocol
    decode: dict[str, Any]
    columns: NotRequired[ColumnOptions]
    indices: NotRequired[IndexOptions]
    select: NotRequired[Selection]


class _AnyScored(TypedDict):
    """run.json of a run, as both formats have it."""

    format: _Format
    plan: str
    files: list[_File]
    finished: str
    model: _Network
    classes: NotRequired[list[str] | None]
    """Of a network with classes other than the project's."""
    ensemble: list[_Network]
    preprocess: _Preprocess
    protocol: _Views
    counts: _Counts
    config: _Config
    row_labels: str | None
    profiles: Annotated[list[_Name], Field(min_length=1)]
    profile: _Name | None
    rates: _Rates
    timings: dict[str, float]
    throughput: _Throughput | None
    left_out: NotRequired[list[_LeftOut]]
    unused_labels: NotRequired[list[_LeftOut]]
    warnings: NotRequired[list[str]]
    """What is wrong with the run as a whole."""
    assumptions: NotRequired[list[_Assumption]]
    """What nobody stated about the networks."""


class _Scored(_AnyScored):
    metrics: list[dict[str, Any]] | None
    """The lines of the summary; None: it was not evaluated."""
    tables: list[_Table] | None


class _OldScored(_AnyScored):
    metrics: list[_OldTable] | None


class _KnownNetwork(TypedDict):
    name: str
    synthetic: bool
    classes_sha256: NotRequired[str]


class _KnownConfig(TypedDict):
    protocol: NotRequired[Protocol]
    labels: NotRequired[list[str]]
    columns: NotRequired[ColumnOptions]
    indices: NotRequired[IndexOptions]
    max_error_rate: NotRequired[float | None]


class _Known(TypedDict):
    """As much of run.json as metrics of its predictions want, which can do without any of it."""

    format: NotRequired[_Format]
    files: NotRequired[list[_File]]
    tables: NotRequired[list[_Table] | None]
    model: NotRequired[_KnownNetwork]
    classes: NotRequired[list[str] | None]
    ensemble: NotRequired[list[_KnownNetwork]]
    config: NotRequired[_KnownConfig]


class _Rescoring(TypedDict):
    predictions: str | list[str]
    labels: list[str]
    plan: NotRequired[str | None]
    """ID of the run whose predictions they were."""
    plans: NotRequired[list[str | None]]
    """The same of several outputs."""
    options: NotRequired[LabelOptions]
    """Those given to `rescore`."""


class _AnyRescored(TypedDict):
    """run.json of `rescore`: what is known of the run, which may be nothing."""

    format: _Format
    finished: str
    rescored: _Rescoring
    model: NotRequired[_Network]
    ensemble: NotRequired[list[_Network]]
    preprocess: NotRequired[_Preprocess]
    protocol: NotRequired[_Views]
    counts: NotRequired[_Counts]


class _Rescored(_AnyRescored):
    metrics: list[dict[str, Any]]
    tables: list[_Table]


class _OldRescored(_AnyRescored):
    metrics: list[_OldTable]


_OLD: dict[type, type] = {_Scored: _OldScored, _Rescored: _OldRescored}
"""The same documents in format 1."""

_NAMES = ("profile", "profiles", "files", "metrics", "tables")
"""Keys under which documents name files and folders."""


class Impossible(UsageError):
    """A file of an output names what no version of vggbatch has written."""


class _Declared(TypedDict):
    plan: str | None
    files_sha256: str
    record_sha256: NotRequired[str]
    """Of all of run.json."""


class _Success(_Declared):
    format: _Format
    next: NotRequired[_Declared]
    """While run.json is replaced by that of the next generation: what vouches for that."""


def foreign(where: str, reason: object) -> Damaged:
    """The refusal of a file that this version cannot read."""
    text = " ".join(str(reason).split())[:200]
    error = Damaged(
        f"{where} is damaged, or was made by another version of vggbatch ({text}): use the version "
        "that made it, or start again with --overwrite or another output"
    )
    error.reason = text
    return error


def tables_of(record: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The metrics tables that a run.json of either format lists; None: it was not evaluated."""
    found: list[dict[str, Any]] | None = record.get(
        "metrics" if record["format"] == 1 else "tables"
    )
    return found


def plan(data: bytes, where: str) -> dict[str, Any]:
    """plan.json; `where` is its URI. Raises UsageError, as all of these do."""
    return _checked(data, where, _Plan)


def marker(data: bytes, where: str) -> dict[str, Any]:
    """A group's marker."""
    return _checked(data, where, _Marker)


def run(data: bytes, where: str) -> dict[str, Any]:
    """run.json, of a run or of `rescore`."""
    return _checked(data, where, _Scored, rescored=_Rescored)


def success(data: bytes, where: str) -> dict[str, Any]:
    """_SUCCESS."""
    return _checked(data, where, _Success)


def known(data: bytes, where: str) -> dict[str, Any]:
    """run.json, perhaps in part, beside predictions that are to be scored."""
    return _checked(data, where, _Known)


def _checked(data: bytes, where: str, kind: type, **kinds: type) -> dict[str, Any]:
    """A document of a kind, or of that whose key it has."""
    try:
        values: dict[str, Any] = json_text.parse(data)
        kind = next((kinds[key] for key in kinds if key in values), kind)
        later = isinstance(values, dict) and values.get("format")
        kind = _OLD.get(kind, kind) if later == 1 else kind
        if isinstance(later, int) and later > FORMAT:
            raise UsageError(
                f"{where} was written by a later version of vggbatch (format {later}, this one "
                f"reads {FORMAT}): use that version, or give a new run another output"
            )
        _adapter(kind).validate_json(data, strict=True)
    except TypeError:
        raise foreign(where, "it is no JSON object") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "string_pattern_mismatch" and first["loc"][0] in _NAMES:
            raise Impossible(
                f"{where} was not written by vggbatch: {place} is {first['input']!r:.100}; name "
                "another output, and do not trust this one"
            ) from None
        raise foreign(where, f"{place}: {first['msg']}" if place else first["msg"]) from None
    except ValueError as error:
        raise foreign(where, error) from None
    return values


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Made when it is needed: it takes milliseconds of each process's start."""
    return TypeAdapter(kind)
