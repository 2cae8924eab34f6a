"""The JSON files of an output as they are read: what another version or a crash left is refused.

Each has the number of its format. A later one is refused; of the same one is checked what readers
use, and nothing more, so that a version that writes more is read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vggbatch import json_text
from vggbatch.errors import UsageError
from vggbatch.output.documents import fields, run_document

FORMAT = 2
"""Of plan.json, markers, run.json and _SUCCESS, and of all that follows from a plan: how shards are
cut into chunks, names, columns. Raised when a run that was begun before could not be continued
exactly as it was planned; tests/end_to_end/test_formats_of_outputs.py finds out."""


class Damaged(UsageError):
    """A document that cannot be read and says of no later version that it wrote it."""

    reason = ""
    """Of that, in a few words."""


_OLD: dict[type, type] = {
    run_document.Scored: run_document.OldScored,
    run_document.Rescored: run_document.OldRescored,
}
"""The same documents in format 1."""

_NAMES = ("profile", "profiles", "files", "metrics", "tables")
"""Keys under which documents name files and folders."""


class Impossible(UsageError):
    """A file of an output names what no version of vggbatch has written."""


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
    return _checked(data, where, fields.Plan)


def marker(data: bytes, where: str) -> dict[str, Any]:
    """A group's marker."""
    return _checked(data, where, fields.Marker)


def run(data: bytes, where: str) -> dict[str, Any]:
    """run.json, of a run or of `rescore`."""
    return _checked(data, where, run_document.Scored, rescored=run_document.Rescored)


def success(data: bytes, where: str) -> dict[str, Any]:
    """_SUCCESS."""
    return _checked(data, where, fields.Success)


def known(data: bytes, where: str) -> dict[str, Any]:
    """run.json, perhaps in part, beside predictions that are to be scored."""
    return _checked(data, where, run_document.Known)


def _checked(data: bytes, where: str, kind: type, **kinds: type) -> dict[str, Any]:
    """A document of a kind, or of that whose key it has."""
    try:
        values: dict[str, Any] = json_text.parse(data, _distinct)
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


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose keys are checked in the document and read from here."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Made when it is needed: it takes milliseconds of each process's start."""
    return TypeAdapter(kind)
