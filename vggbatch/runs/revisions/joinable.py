"""Whether outputs can be joined to one: all are whole, of the same settings, and no image twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.config import Selection
from vggbatch.errors import UsageError
from vggbatch.metrics.rescore import Source, open_source
from vggbatch.metrics.several import SAME_VERSIONS, check_no_image_twice
from vggbatch.output.checks.differences import differences
from vggbatch.output.documents import metadata
from vggbatch.output.layout import Output
from vggbatch.output.names import SUCCESS
from vggbatch.output.verify import unmarked
from vggbatch.runs.revisions.revision import file_number
from vggbatch.storage.filesystem import Folder

_OF_ONE = {"id", "format", "input", "input_digest", "whole_input", "shards", "merged", "select"}
_OF_ONE |= {"generation", "revises", "history"}
"""Keys of plan.json in which outputs differ that are joined; the parts are looked at apart."""
_SIZES = {"chunk_size", "chunk_size_used", "rows_per_file", "rows_per_file_used"}
_SHOWN = 3


@dataclass(frozen=True)
class Joined:
    """One of the outputs."""

    source: Source
    output: Output
    plan: dict[str, Any]
    declared: dict[str, Any]
    """_SUCCESS."""
    shards: list[NumberedShard]
    markers: dict[int, dict[str, Any]]
    """By group."""

    @property
    def uri(self) -> str:
        """Where it is."""
        return self.output.folder.uri

    @property
    def selection(self) -> Selection:
        """Which images of its input it has."""
        return Selection.model_validate(self.plan.get("select") or {})

    @property
    def groups(self) -> int:
        """One more than its greatest number of a group or file."""
        files = [file["name"] for marker in self.markers.values() for file in marker["files"]]
        return 1 + max(
            [group for _, group, _ in self.shards] + list(map(file_number, files)), default=-1
        )


def open_joinable(uris: Sequence[str]) -> list[Joined]:
    """Outputs that can be joined, in the order in which they are; parts by their number.

    Raises:
        UsageError: one is not finished or damaged; two are of different settings, parts are missing
            or there twice, or an image is in two.
    """
    if len({Folder(uri).uri for uri in uris}) < len(uris):
        raise UsageError("an output is named twice")
    found = [_opened(uri) for uri in uris]
    for other in found[1:]:
        _check_same(found[0], other)
    if any(one.selection.part for one in found):
        _check_parts(found)
        found.sort(key=lambda one: one.selection.place or (0, 0))
    check_no_image_twice((one.uri, (shard for _, _, shard in one.shards)) for one in found)
    return found


def _opened(uri: str) -> Joined:
    folder = Folder(uri)
    source, output = open_source(folder), Output(folder)
    plan = output.read_plan()
    if plan is None or not output.succeeded():
        raise UsageError(f"{uri} is not the output of a finished run, with its _vggbatch folder")
    if plan["format"] != metadata.FORMAT:
        raise UsageError(f"{uri} was made by an earlier version of vggbatch, with other columns")
    declared = metadata.success(folder.read_bytes(SUCCESS), f"{uri}/{SUCCESS}")
    progress = output.progress()
    if wrong := unmarked(output, progress):
        raise UsageError(f"{uri} is not whole: {wrong[0]}. Repeat the command that made it")
    markers = dict(sorted(progress.groups.items()))
    return Joined(source, output, plan, declared, output.read_shards(), markers)


def _check_same(first: Joined, other: Joined) -> None:
    """Raise UsageError where the rows of two outputs are no rows of one."""
    one, two = (
        {k: v for k, v in x.plan.items() if k not in _OF_ONE | _SIZES} for x in (first, other)
    )
    changed = differences(one, two)
    chosen = [{**x.selection.model_dump(), "part": None} for x in (first, other)]
    changed += differences(chosen[0], chosen[1], "select")
    versions = [
        {name: x.source.record.get("versions", {}).get(name) for name in SAME_VERSIONS}
        for x in (first, other)
    ]
    changed += differences(versions[0], versions[1], "versions")
    if changed:
        raise UsageError(
            f"{first.uri} and {other.uri} are not of the same settings: {'; '.join(changed)}"
        )


def _check_parts(found: Sequence[Joined]) -> None:
    """Make sure that parts of an input are all there, each once."""
    places: dict[int, Joined] = {}
    count = next(one.selection.place[1] for one in found if one.selection.place)
    whole = {str(one.plan.get("whole_input")) for one in found}
    for one in found:
        place = one.selection.place
        if place is None or place[1] != count:
            raise UsageError(f"{one.uri} has {one.selection.in_words()}, and not a part of {count}")
        if place[0] in places:
            other = places[place[0]].uri
            raise UsageError(f"{other} and {one.uri} are both part {place[0]} of {count}")
        places[place[0]] = one
    if missing := [number for number in range(1, count + 1) if number not in places]:
        names = ", ".join(map(str, missing[:_SHOWN]))
        more = ", ..." if len(missing) > _SHOWN else ""
        raise UsageError(f"{len(missing)} of {count} parts are missing: {names}{more}")
    if len(whole) > 1:
        raise UsageError(
            "the parts are not of one input: it changed while they were begun. Score those with "
            "the older listing again"
        )


def merged_selection(found: Sequence[Joined]) -> dict[str, Any]:
    """What the joined outputs have of their inputs: as each, and the parts together are whole."""
    return {**found[0].selection.model_dump(mode="json"), "part": None}


def inputs_of(found: Sequence[Joined]) -> list[str]:
    """What was named as input, each once."""
    return list(dict.fromkeys(uri for one in found for uri in one.plan["input"]))


def renumbered(found: Sequence[Joined]) -> Iterator[tuple[Joined, int, int]]:
    """Each output with what is added to the numbers of its groups and of its shards."""
    groups = shards = 0
    for one in found:
        yield one, groups, shards
        groups += one.groups
        shards += len(one.shards)


def identity_of(found: Sequence[Joined]) -> list[Mapping[str, Any]]:
    """What a merge is of; one that is repeated is of the same."""
    return [{"run_id": one.plan["id"], "files": one.declared["files_sha256"]} for one in found]
