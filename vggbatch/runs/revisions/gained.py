"""What an append is to score, and what becomes of the output: `--append`, `--changed`, `--prune`.

The input beside what the output has recorded of it is an arrangement (arrangement.py). Here it is
decided which of it counts; what is left alone is named.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vggbatch.errors import UsageError
from vggbatch.job.job import Job
from vggbatch.metrics.several import SAME_VERSIONS
from vggbatch.output.checks.differences import differences
from vggbatch.output.layout import Output
from vggbatch.pipeline.content_check import has_content
from vggbatch.runs.revisions.arrangement import Arrangement
from vggbatch.runs.revisions.revision import Change, take_out, without
from vggbatch.sources import Shard
from vggbatch.sources.formats.folder import FileReader
from vggbatch.versions import versions

_log = logging.getLogger(__name__)

_SHOWN = 3


def wanted(job: Job, output: Output, found: Arrangement) -> tuple[list[Shard], Change]:
    """What an append is to score, and what becomes of the output; what is left alone is named.

    Raises:
        UsageError: the versions with which the output was scored are not those of now.
    """
    _drop_touched(job, output, found)
    changed, removed = found.changed_names, found.removed_names
    _say(
        changed, "changed since they were scored", "--changed scores them again", job.config.changed
    )
    _say(removed, "are in the input no more", "--prune removes their rows", job.config.prune)
    going = {*(changed if job.config.changed else ()), *(removed if job.config.prune else ())}
    shards = [*found.added, *(found.changed if job.config.changed else ())]
    if shards or going:
        record = output.read_run()
        before = {name: record.get("versions", {}).get(name) for name in SAME_VERSIONS}
        now = {name: versions()[name] for name in SAME_VERSIONS}
        if other := differences(before, now, "versions"):
            raise UsageError(
                f"{output.folder.uri} was scored with other versions: {'; '.join(other)}. Rows of "
                "both would not be comparable: install the same, or name another output"
            )
    kept, ids, numbers = take_out(found.kept, going)
    counts = {
        "added": len(found.added_names),
        "changed": len(changed) if job.config.changed else 0,
        "removed": len(removed) if job.config.prune else 0,
    }
    return shards, Change("append", kept, ids, numbers, counts)


def _drop_touched(job: Job, output: Output, found: Arrangement) -> None:
    """Take out of what changed what has the bytes that were scored, and other times alone."""
    if not found.changed_names:
        return
    planned = output.read_plan() or {}
    changed = set(found.changed_names)
    now = {name: shard for shard in found.changed for name in _names(shard)}
    for numbered in found.kept:
        inside = changed.intersection(_names(numbered[2]))
        if not inside:
            continue
        sizes = _sizes(numbered[2], inside) == {
            name: _sizes(now[name], {name})[name] for name in inside
        }
        if sizes and has_content(
            output, numbered, planned["chunk_size_used"], job.config.decode.max_bytes
        ):
            changed -= inside
    if len(changed) == len(found.changed_names):
        return
    found.changed_names = [name for name in found.changed_names if name in changed]
    found.changed = [
        _only(shard, changed) for shard in found.changed if changed.intersection(_names(shard))
    ]


def _names(shard: Shard) -> list[str]:
    """Of a listing its images, of a file its own name."""
    if shard.format == FileReader.format and shard.members is not None:
        return shard.image_ids(shard.members)
    return [shard.name]


def _sizes(shard: Shard, names: set[str]) -> dict[str, int]:
    if shard.format != FileReader.format or shard.members is None:
        return {shard.name: shard.size}
    pairs = zip(_names(shard), shard.members["size"].to_pylist(), strict=True)
    return {name: size for name, size in pairs if name in names}


def _only(shard: Shard, names: set[str]) -> Shard:
    if shard.format != FileReader.format:
        return shard
    return without((0, 0, shard), set(_names(shard)) - names)[2]


def _say(names: Sequence[str], what: str, how: str, done: bool) -> None:
    if names and not done:
        more = ", ..." if len(names) > _SHOWN else ""
        _log.warning(
            "%d images or shards %s (%s%s) and stay as they were scored; %s",
            len(names),
            what,
            ", ".join(names[:_SHOWN]),
            more,
            how,
        )
