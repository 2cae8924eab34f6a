"""The images of a complete output that have an error are scored again, in place: `--retry errors`.

A store was down, a file was damaged and has been replaced, a decoder was updated. Rows with an
error go and rows of the same images come, as one generation of the output (revision.py).
"""

from __future__ import annotations

import logging
from dataclasses import replace

import pyarrow as pa

from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError
from vggbatch.job.job import Job
from vggbatch.output.layout import Output
from vggbatch.output.without import images_with_errors
from vggbatch.runs.revisions.arrangement import Arrangement, listed_now
from vggbatch.runs.revisions.revision import Change, names_inside, take_out
from vggbatch.sources import Shard, reader_for
from vggbatch.sources.base import DAMAGED
from vggbatch.sources.formats.folder import FileReader
from vggbatch.storage.filesystem import public_uri

_log = logging.getLogger(__name__)


def wanted_again(
    job: Job, listed: tuple[Shard, ...], output: Output, found: Arrangement
) -> tuple[list[Shard], Change]:
    """What a retry is to score, and what becomes of the output.

    Images are read as they are now. A shard that has changed, or of which something is damaged, is
    scored as a whole, for its images are others then.

    Args:
        job: names the kinds of errors.
        listed: the input as it is now.
        output: complete.
        found: the input beside what was recorded.

    Raises:
        UsageError: a shard cannot be read.
    """
    kinds, opened = job.config.retried_kinds, _Opened()
    failed: set[str] = set()
    for marker in output.progress().groups.values():
        errors = set(_errors_of(marker))
        if errors and (not kinds or errors.intersection(kinds)):
            failed.update(images_with_errors(output, marker, kinds))
    gone = failed.intersection(found.removed_names)
    going = failed - gone
    files = listed_now(sorted(going), listed)
    whole: dict[str, Shard] = {}
    parts: dict[str, list[str]] = {}
    by_name = {shard.name: shard for shard in listed if shard.format != FileReader.format}
    changed, ordered = set(found.changed_names), sorted(going)
    for shard in {shard.name: shard for _, _, shard in found.kept}.values():
        if shard.format == FileReader.format:
            continue
        inside = names_inside(shard, ordered)
        if inside and shard.name not in by_name:
            gone.update(inside)
            going.difference_update(inside)
        elif inside and (shard.name in changed or _damaged(inside)):
            whole[shard.name] = by_name[shard.name]
            going.difference_update(inside)
            going.add(shard.name)
        elif inside:
            parts[shard.name] = inside
    if gone:
        _log.warning("%d images with an error are in the input no more: they stay", len(gone))
    again = [opened.part(by_name[name], set(names)) for name, names in sorted(parts.items())]
    kept, ids, numbers = take_out(found.kept, going, opened)
    change = Change("retry", kept, ids, numbers, {"retried": len(failed - gone)})
    return [*files, *whole.values(), *again], change


def _errors_of(marker: dict[str, str]) -> dict[str, int]:
    return Stats.from_json(marker["stats"]).errors


def _damaged(names: list[str]) -> bool:
    return any(name.endswith(f"/{DAMAGED}") for name in names)


class _Opened:
    """The members of shards, each read once."""

    def __init__(self) -> None:
        self._tables: dict[str, pa.Table] = {}

    def __call__(self, shard: Shard) -> pa.Table:
        """All members; of a part of a shard, as an earlier retry has left it, its own."""
        if shard.members is not None:
            return shard.members
        if shard.name not in self._tables:
            try:
                self._tables[shard.name] = reader_for(shard.format).members(shard)
            except OSError as error:
                raise UsageError(f"{public_uri(shard.uri)} cannot be read: {error}") from None
        return self._tables[shard.name]

    def part(self, shard: Shard, names: set[str]) -> Shard:
        """A shard with some of its images alone."""
        members = self(shard)
        chosen = pa.array([name in names for name in shard.image_ids(members)])
        members = members.filter(chosen).replace_schema_metadata(None)
        if len(members) != len(names):
            raise UsageError(
                f"{public_uri(shard.uri)} cannot be read as it was when it was scored: "
                f"{len(names) - len(members)} of its images are not found"
            )
        return replace(shard, members=members, images=None)
