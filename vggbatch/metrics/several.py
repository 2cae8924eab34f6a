"""Several outputs read as one: the days of a job that comes again, or its parts.

No row is looked at to find out whether they belong together: run.json says what made the rows, and
the recorded input which images they are of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fsspec.core import has_magic

from vggbatch import uris
from vggbatch.config import Selection
from vggbatch.errors import UsageError
from vggbatch.metrics.rescore import Source, open_source
from vggbatch.metrics.rows import Outputs
from vggbatch.output.checks.differences import differences
from vggbatch.output.checks.unchanged import SeenAll
from vggbatch.output.layout import Output
from vggbatch.output.names import PROFILES
from vggbatch.sources import Shard
from vggbatch.sources.input_warnings import Names, merged
from vggbatch.sources.names import ancestors
from vggbatch.storage.filesystem import Folder, filesystem, is_local, public_uri

_log = logging.getLogger(__name__)

SAME_VERSIONS = ("vggbatch", "onnxruntime", "numpy", "pillow")
"""Those of run.json whose change may change a result."""
_SAME = ("model", "ensemble", "preprocess", "protocol")
"""What makes rows comparable, of run.json."""
_SUMMED = ("counts", "timings", "image_bytes")
_SHOWN = 3


def outputs_named(names: Sequence[str]) -> list[str]:
    """Outputs by their folders or URIs, and those that globs mean, in order.

    Raises:
        UsageError: a glob means none, or an output is named twice.
    """
    found = [uri for name in names for uri in _expanded(name)]
    places = [Folder(uri).uri for uri in found]
    if twice := {place for place in places if places.count(place) > 1}:
        raise UsageError(f"an output is named twice: {public_uri(min(twice))}")
    return found


def _expanded(name: str) -> list[str]:
    fs, path = filesystem(name)
    if not has_magic(path) or fs.exists(path):
        return [name]
    found = fs.glob(path.rstrip("/"), detail=True)
    folders = sorted(place for place, entry in found.items() if entry["type"] == "directory")
    if not folders:
        raise UsageError(f"no output is named {public_uri(name)}")
    prefix = "" if is_local(fs) else f"{uris.protocol(name)}://"
    return [prefix + place for place in folders]


def open_sources(
    names: Sequence[str], classes: str | None = None, *, partial: bool = False
) -> Source:
    """The rows of an output, or of several as those of one.

    Args:
        names: outputs, and globs of outputs.
        classes: as of `open_source`.
        partial: take the rows of unfinished runs, and of some of several parts.

    Raises:
        UsageError: as `open_source`; or the outputs are of other networks or preprocessing, parts
            are missing, or an image is in two.
    """
    found = [open_source(Folder(uri), classes, partial=partial) for uri in outputs_named(names)]
    first, *others = found
    if not others:
        return first
    for other in others:
        _check_same(first, other)
    outputs = [_run_of(source) for source in found]
    missing = _missing_parts(outputs)
    if missing and not partial:
        raise UsageError(f"{missing}; --partial takes the others")
    check_no_image_twice((o.folder.uri, (s for _, _, s in o.read_shards())) for o in outputs)
    notes = [source.note for source in found if source.note is not None]
    notes += [missing] if missing else []
    return Source(
        folder=Outputs(tuple(folder for source in found for folder in source.folders)),
        record=_joined([source.record for source in found]),
        class_lines=first.class_lines,
        seen=SeenAll(tuple(seen for source in found for seen in source.seen.all)),
        note="; ".join(notes) or None,
        own=all(source.own for source in found),
    )


def _check_same(first: Source, other: Source) -> None:
    """Raise UsageError where rows of two outputs are not comparable; name other versions."""
    one, two = ({key: _plain(s.record.get(key)) for key in _SAME} for s in (first, other))
    if not all(source.record.get("model") for source in (first, other)):
        lacking = other if first.record.get("model") else first
        raise UsageError(f"{lacking.folder.uri} has no run.json that says what its rows are of")
    if changed := differences(one, two):
        raise UsageError(
            f"{first.folder.uri} and {other.folder.uri} are not read as one: {'; '.join(changed)}"
        )
    versions = [
        {name: s.record.get("versions", {}).get(name) for name in SAME_VERSIONS}
        for s in (first, other)
    ]
    if changed := differences(versions[0], versions[1], "versions"):
        _log.warning("%s was scored with other versions: %s", other.folder.uri, "; ".join(changed))


def _plain(value: Any) -> Any:
    """A part of run.json without the names of files, which may lie elsewhere on another day."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: one for key, one in value.items() if key != "name"}
    return value


def _run_of(source: Source) -> Output:
    """The output that has the recorded input; of a further profile, that of its run."""
    [folder] = source.folders
    inside = f"/{PROFILES}/{source.record.get('profile')}"
    output = Output(Folder(folder.uri.removesuffix(inside)))
    if output.read_plan() is None:
        raise UsageError(
            f"{folder.uri} is not the output of a run, with its _vggbatch folder: whether others "
            "have the same images cannot be known"
        )
    return output


def _missing_parts(outputs: Sequence[Output]) -> str | None:
    """Which parts of an input are not there, as text; raises UsageError for one that is twice."""
    places: dict[tuple[int, int], Output] = {}
    for output in outputs:
        plan = output.read_plan() or {}
        place = Selection.model_validate(plan.get("select") or {}).place
        if place is not None and places.setdefault(place, output) is not output:
            raise UsageError(
                f"{places[place].folder.uri} and {output.folder.uri} are both part {place[0]} of "
                f"{place[1]}"
            )
    wanted = {(n, count) for _, count in places for n in range(1, count + 1)}
    lacking = sorted(wanted - places.keys())
    if not lacking:
        return None
    shown = ", ".join(f"{n}/{count}" for n, count in lacking[:_SHOWN])
    return f"{len(lacking)} parts are missing: {shown}{', ...' if len(lacking) > _SHOWN else ''}"


def check_no_image_twice(named: Iterable[tuple[str, Iterable[Shard]]]) -> None:
    """Make sure that no image is in two outputs, by what they record of their input.

    Args:
        named: URIs of outputs and their shards.

    Raises:
        UsageError: one is.
    """
    listed: dict[str, str] = {}
    closed: dict[str, str] = {}
    for uri, shards in named:
        for shard in shards:
            ids = [shard.name] if shard.members is None else shard.image_ids(shard.members)
            known = closed if shard.members is None else listed
            for name in ids:
                other = known.setdefault(name, uri)
                if other != uri:
                    raise UsageError(f"{name} is in both {other} and {uri}")
    for name in ancestors(listed) & closed.keys():
        raise UsageError(f"images of {name} are in {closed[name]}, and again beside it")


def _joined(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """run.json of several outputs: what they share, and sums."""
    first = records[0]
    config = {**first["config"]}
    for key in ("labels", "errors", "columns", "indices"):
        if any(record["config"].get(key) != config.get(key) for record in records):
            config[key] = [] if key == "labels" else config.get(key)
    record = {
        **first,
        "config": config,
        "finished": max(record["finished"] for record in records),
        "warnings": list(dict.fromkeys(w for r in records for w in r.get("warnings", ()))),
        "left_out": _kinds(records, "left_out"),
        "unused_labels": _kinds(records, "unused_labels"),
        "rates": {"images_per_second": 0.0, "images_this_run": 0},
        "throughput": None,
        "metrics": None,
        "tables": None,
        "files": [],
    }
    record["plans"] = [one.get("plan") for one in records]
    for key in ("history", "merged", "this_run", "plan"):
        record.pop(key, None)
    return record | {key: _summed([r[key] for r in records]) for key in _SUMMED if key in first}


def _kinds(records: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found: dict[str, Names] = {}
    for record in records:
        kinds = record.get(key, ())
        found = merged(found, {k["what"]: Names(k["count"], tuple(k["examples"])) for k in kinds})
    return [
        {"what": what, "count": names.count, "examples": list(names.examples)}
        for what, names in found.items()
    ]


def _summed(values: Sequence[Any]) -> Any:
    """Sums of nested numbers."""
    if not isinstance(values[0], Mapping):
        return sum(values)
    names = dict.fromkeys(name for value in values for name in value)
    return {name: _summed([value.get(name, 0) for value in values]) for name in names}
