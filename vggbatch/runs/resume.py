"""Whether an output is new, to be resumed, or somebody else's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vggbatch import uris
from vggbatch.chunks.chunk import NumberedShard
from vggbatch.errors import UsageError
from vggbatch.job.job import Job, input_digest
from vggbatch.output.checks.differences import differences
from vggbatch.output.documents import metadata
from vggbatch.output.layout import Output
from vggbatch.output.names import PLAN, PREDICTIONS
from vggbatch.output.ownership.confined import check_confined
from vggbatch.pipeline import content_check
from vggbatch.runs.relabeled import check_same_labels, rescore_instead
from vggbatch.sources import Shard
from vggbatch.storage.filesystem import public_uri

_log = logging.getLogger(__name__)

_compared: set[tuple[str, str]] = set()
"""Plans and inputs of this process that were compared and are the same."""

_SHOWN = 3
_OF_REVISIONS = ("generation", "revises", "history", "merged")
"""What a plan says of how its output came about, and no run repeats."""
_COMPARED = {"chunk_size_used", "rows_per_file_used", "input_digest", "labels", "row_labels"}
"""What a plan must have, that differences are reported from it."""


@dataclass(frozen=True)
class Planned:
    """Sizes that were decided when a run was begun, and stay."""

    chunk_size: int
    """Images in a chunk."""
    rows_per_file: int
    """Rows in a predictions file, about."""
    touched: bool = False
    """Whether files have other times than recorded, and the content that was scored."""


def open_output(output: Output, job: Job) -> tuple[list[NumberedShard], Planned]:
    """Make the output this job's: record the plan, or check that the one recorded is the same.

    Returns:
        The shards with their numbers and groups, and the sizes, all as first planned.

    Raises:
        UsageError: as `check_output`.
    """
    if job.config.overwrite:
        output.clear()
    planned = check_output(output, job)
    if planned is None:
        numbered = job.groups()
        planned = Planned(job.chunk_size, job.rows_per_file)
        used: dict[str, Any] = {
            "chunk_size_used": planned.chunk_size,
            "rows_per_file_used": planned.rows_per_file,
            "profile_used": job.recipes[0].name,
        }
        output.write_plan({**job.plan(), **used}, numbered)
        return numbered, planned
    # as they were recorded: another version of this code might make other groups
    groups = output.read_groups()
    if planned.touched and output.writable:
        numbered = [(n, g, s) for n, (g, s) in enumerate(zip(groups, job.shards, strict=True))]
        output.rewrite_input(input_digest(job.shards), numbered)
    return [(n, g, s) for n, (g, s) in enumerate(zip(groups, job.shards, strict=True))], planned


def check_continuable(output: Output) -> None:
    """Make sure that what an output still lacks would be written as what it has.

    Raises:
        UsageError: it was begun in an older format, whose columns are others.
    """
    planned = output.read_plan()
    if planned is not None and planned["format"] < metadata.FORMAT:
        raise UsageError(
            f"{output.folder.uri} was begun by an earlier version of vggbatch (format "
            f"{planned['format']}, this one writes {metadata.FORMAT}): complete it with that "
            "version, name another output, or --overwrite to start again. What a finished run has "
            "is read by rescore, compare and report"
        )


def check_output(output: Output, job: Job) -> Planned | None:
    """Whether the output may be written by this job; writes nothing.

    Returns:
        The sizes of the run that is there to be resumed, None if there is none.

    Raises:
        UsageError: the output holds another job's rows (the differences are named), or files that
            no run has written.
    """
    check_confined(output.folder)
    planned = output.read_plan()
    if planned is None:
        if output.folder.list(PREDICTIONS):
            raise UsageError(
                f"{output.folder.uri}/{PREDICTIONS} has files that are not this job's; name "
                "another output, or --overwrite to delete them"
            )
        return None
    lacking = _COMPARED - planned.keys()
    if lacking:
        where = f"{output.folder.uri}/{PLAN}"
        raise metadata.foreign(where, f"it has no {', '.join(sorted(lacking))}")
    for name in ("id", "format", "profile_used", *_OF_REVISIONS):
        planned.pop(name, None)
    if job.config.append:
        planned["input"] = [public_uri(uris.resolved(uri)) for uri in job.config.input]
    sizes = Planned(planned.pop("chunk_size_used"), planned.pop("rows_per_file_used"))
    wanted = job.plan()
    changed = differences(planned, wanted)
    only_input = planned | {"input_digest": None} == wanted | {"input_digest": None}
    if changed and job.config.append and _only_labels_grew(output, job, planned, wanted):
        return sizes
    if changed and only_input and _same_content(output, job, sizes):
        return replace(sizes, touched=True)
    if changed:
        changed = [line for line in changed if not line.startswith("row_labels")]
        if planned["row_labels"] != wanted["row_labels"] and planned["labels"] == wanted["labels"]:
            changed.append(f"the content of {', '.join(wanted['labels'])} changed")
        if planned["input_digest"] != wanted["input_digest"]:
            old = [shard for _, _, shard in output.read_shards()]
            changed = [line for line in changed if not line.startswith(("input_digest", "shards"))]
            changed.append(_input_changes(old, list(job.shards)))
        raise UsageError(
            f"{output.folder.uri} belongs to a run with other settings: {'; '.join(changed)}. "
            f"{rescore_instead(output, planned, wanted)}"
            "Repeat those settings, name another output, or --overwrite to start again"
        )
    return sizes


def _only_labels_grew(
    output: Output, job: Job, planned: Mapping[str, Any], wanted: Mapping[str, Any]
) -> bool:
    """Whether nothing differs but the label file, which has the labels of the rows and others.

    Raises:
        UsageError: it has other ones for images that were scored.
    """
    rest: dict[str, Any] = {"row_labels": None}
    if job.labels is None or {**planned, **rest} != {**wanted, **rest} or not output.succeeded():
        return False
    known = (output.plan_id, f"labels {wanted['row_labels']}")
    if known not in _compared:
        check_same_labels(output, job.labels, public_uri(job.row_labels or ""))
        _compared.add(known)
    return True


def _same_content(output: Output, job: Job, sizes: Planned) -> bool:
    """Whether the input differs from the recorded one in the times of files alone.

    Raises:
        UsageError: names and sizes are the same, and what was scored has other bytes now.
    """
    recorded = output.read_shards()
    numbers = content_check.touched([shard for _, _, shard in recorded], job.shards)
    if numbers is None:
        return False
    _log.info("%d parts of the input have other times: their content is compared", len(numbers))
    shards = [(n, recorded[n][1], job.shards[n]) for n in numbers]
    known = (output.plan_id, input_digest(job.shards))
    if known in _compared:
        return True
    try:
        found = content_check.modified(
            output, shards, sizes.chunk_size, job.config.decode.max_bytes
        )
    except LookupError:
        return False
    if found is not None:
        raise UsageError(
            f"{output.folder.uri} belongs to a run on another input: files were modified, and what "
            f"was scored of {found} is not what is there now. Name another output, or --overwrite "
            "to start again"
        )
    _compared.add(known)
    return True


def _input_changes(old: list[Shard], new: list[Shard]) -> str:
    """What was added to, removed from and changed in the input, with examples."""
    before, after = _entries(old), _entries(new)
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    changed = [name for name in after if name in before and before[name] != after[name]]
    parts = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in (("added", added), ("removed", removed), ("changed", changed))
        if names
    ]
    return f"the input changed: {', '.join(parts) or 'files were modified'}"


def _entries(shards: list[Shard]) -> dict[str, tuple[int, str]]:
    """Shards and listed files by name, with what changes when they do."""
    entries: dict[str, tuple[int, str]] = {}
    for shard in shards:
        if shard.members is None:
            entries[shard.name] = (shard.size, shard.version)
            continue
        names, sizes = shard.image_ids(shard.members), shard.members["size"].to_pylist()
        entries.update({name: (size, "") for name, size in zip(names, sizes, strict=True)})
    return entries
