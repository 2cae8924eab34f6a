"""The next generation of a complete output: rows that go, rows that come, files that stay.

What comes has been scored into an output inside (`_vggbatch/next`, see layout.py), by a run like
any other. Here its files are linked or copied among the predictions, the files that lose rows are
written again under other names, and markers of a state of its own are written for all groups.
Nothing of that is read until it is declared (see output/switch.py).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.stats import Stats
from vggbatch.job.job import input_digest
from vggbatch.output.documents.metadata import FORMAT
from vggbatch.output.layout import Output
from vggbatch.output.without import files_with, marker_without
from vggbatch.sources import Shard
from vggbatch.sources.base import MEMBERS_SCHEMA
from vggbatch.sources.formats.folder import FileReader
from vggbatch.versions import versions

_AROUND = ("/", "0")
"""What stands behind a shard's name in the ids of its images, and the character after it."""
_NUMBER = re.compile(r"(?<=/part-)[0-9]+")


@dataclass(frozen=True)
class Change:
    """What is to become of a complete output."""

    action: str
    """append, retry or forget, for the history."""
    kept: Sequence[NumberedShard]
    """The recorded input, with all of its numbers; without what goes."""
    going: Mapping[int, Collection[str]] = field(default_factory=dict)
    """By group, the images whose rows go."""
    shards: Collection[int] = ()
    """Numbers of the shards that those are in."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """For the history: added, changed, removed, ..."""


def prepare(
    output: Output,
    change: Change,
    record: Mapping[str, Any],
    came: Output | None,
    inputs: Sequence[str] | None = None,
    row_labels: str | None = None,
) -> tuple[Output, dict[str, Any], list[dict[str, Any]]]:
    """Write all of the next generation but its documents.

    Args:
        output: as it is, with the right to write.
        change: what is to become of it.
        record: its run.json.
        came: the output inside that has what comes, all of its groups complete.
        inputs: what is named as the input now; None: what was.
        row_labels: the digest of the labels now, which the rows that stay have as well; None: what
            it was.

    Returns:
        The generation's state, its plan.json, and the markers of all of its groups in order.
    """
    plan = output.read_plan()
    assert plan is not None, "a complete output has a plan"
    before = output.progress().groups
    added = came.read_shards() if came is not None else []
    markers = {group: before[group] for group in sorted(before)}
    taken = [group for _, group, _ in change.kept]
    taken += [file_number(f["name"]) for marker in markers.values() for f in marker["files"]]
    following = 1 + max(taken, default=-1)
    number = len(change.kept)
    shards = list(change.kept)
    shift = following + len(change.going)
    shards += [(n + number, g + shift, s) for n, g, s in added]
    new = output.next_generation(shards, own=output.has_own_shards())
    for place, (group, ids) in enumerate(sorted(change.going.items())):
        old = files_with(output, markers[group], ids)
        names = {name: _renamed(name, following + place, i) for i, name in enumerate(sorted(old))}
        gone = {name for inside in old.values() for name in inside}
        markers[group] = marker_without(output, markers[group], gone, names, set(change.shards))
    for group, marker in markers.items():
        new.write_marker(group, marker)
    if came is not None:
        for group, marker in sorted(came.progress().groups.items()):
            markers[group + shift] = adopt(new, came, marker, group, shift, number)
    return (
        new,
        _plan(plan, new.plan_id, shards, change, record, markers, inputs, row_labels),
        [markers[group] for group in sorted(markers)],
    )


def adopt(
    target: Output, source: Output, marker: Mapping[str, Any], group: int, groups: int, numbers: int
) -> dict[str, Any]:
    """Link or copy the files of a group of another output, then declare it.

    Args:
        target: gets them.
        source: has them.
        marker: of the group there.
        group: its number there.
        groups: what is added to the numbers of groups and files.
        numbers: what is added to the numbers of shards.

    Returns:
        The marker of the group in the target.
    """
    taken: dict[str, list[dict[str, Any]]] = {}
    for profile, files in {"": marker["files"], **marker["profiles"]}.items():
        folder = source.profile(profile) if profile else source.folder
        place = target.fence_of(profile)
        taken[profile] = [
            {**file, "name": _NUMBER.sub(lambda n: f"{int(n[0]) + groups:06d}", file["name"])}
            for file in files
        ]
        for file, new in zip(files, taken[profile], strict=True):
            place.adopt(folder, file["name"], new["name"])
    stats = Stats.from_json(marker["stats"])
    content = {str(int(number) + numbers): value for number, value in stats.content.items()}
    renewed = {
        **marker,
        "files": taken.pop(""),
        "profiles": taken,
        "stats": replace(stats, content=content).to_json(),
    }
    return target.write_marker(group + groups, renewed)


def without(numbered: NumberedShard, names: Collection[str]) -> NumberedShard:
    """A shard without some of its members; one of nothing keeps its number alone.

    Args:
        numbered: a listing, or a shard with a table of its members.
        names: image ids.
    """
    number, group, shard = numbered
    assert shard.members is not None
    staying = [name not in names for name in shard.image_ids(shard.members)]
    if not any(staying):
        return number, group, nothing()
    return number, group, replace(shard, members=shard.members.filter(pa.array(staying)))


def take_out(
    kept: Iterable[NumberedShard],
    going: Collection[str],
    opened: Callable[[Shard], pa.Table | None] | None = None,
) -> tuple[list[NumberedShard], dict[int, set[str]], set[int]]:
    """Recorded shards without some of their images.

    Args:
        kept: the shards.
        going: ids of images, and names of shards that go with all that is in them.
        opened: gives the members of a shard of which some images go, None where it cannot be read:
            it is then recorded as it was. Not given: whole shards go, and images of listings.

    Returns:
        The shards, with all of their numbers; by group, what of `going` is in it; and the numbers
        of the shards that have it.
    """
    going = set(going)
    ordered = sorted(going)
    staying: list[NumberedShard] = []
    ids: dict[int, set[str]] = {}
    numbers: set[int] = set()
    for number, group, shard in kept:
        if shard.format == FileReader.format:
            assert shard.members is not None
            inside = going.intersection(shard.image_ids(shard.members)) if going else set()
            left = without((number, group, shard), inside) if inside else None
        elif shard.name in going:
            inside, left = {shard.name}, (number, group, nothing())
        else:
            inside, left = set(names_inside(shard, ordered)), None
            members = opened(shard) if inside and opened is not None else None
            if members is not None:
                whole = replace(shard, members=members, images=None)
                # of one that an earlier change has parted this is one part
                inside = inside.intersection(shard.image_ids(members))
                left = without((number, group, whole), inside) if inside else None
        if inside:
            numbers.add(number)
            ids.setdefault(group, set()).update(inside)
        staying.append(left or (number, group, shard))
    return staying, ids, numbers


def names_inside(shard: Shard, ordered: Sequence[str]) -> list[str]:
    """Of image ids in order, those that are in a shard, without a look at the others."""
    first, end = (bisect_left(ordered, f"{shard.name}{c}") for c in _AROUND)
    return list(ordered[first:end])


def nothing() -> Shard:
    """What takes the place of a shard of which no image is left."""
    return Shard(FileReader.format, "", "", 0, "", MEMBERS_SCHEMA.empty_table())


def _plan(
    plan: Mapping[str, Any],
    plan_id: str,
    shards: Sequence[NumberedShard],
    change: Change,
    record: Mapping[str, Any],
    markers: Mapping[int, Mapping[str, Any]],
    inputs: Sequence[str] | None,
    row_labels: str | None,
) -> dict[str, Any]:
    first = {
        "action": "score",
        "run_id": record["plan"],
        "finished": record["finished"],
        "images": record["counts"]["images"],
        "versions": record.get("versions"),
    }
    entry = {
        "action": change.action,
        "run_id": plan_id,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": sum(marker["rows"] for marker in markers.values()),
        **change.counts,
        "versions": versions(),
    }
    return {
        **plan,
        "format": FORMAT,
        "id": plan_id,
        "input": list(inputs) if inputs is not None else plan["input"],
        "shards": len(shards),
        "input_digest": input_digest(shard for _, _, shard in shards),
        "row_labels": plan["row_labels"] if row_labels is None else row_labels,
        "generation": plan.get("generation", 0) + 1,
        "revises": plan["id"],
        "history": [*plan.get("history", [first]), entry],
    }


def file_number(name: str) -> int:
    """The number of a predictions file: that of the group that it was written for."""
    found = _NUMBER.search(name)
    assert found is not None, "names of predictions files are checked when they are read"
    return int(found[0])


def _renamed(name: str, number: int, part: int) -> str:
    return f"{name.partition('/part-')[0]}/part-{number:06d}-{part:03d}.parquet"
