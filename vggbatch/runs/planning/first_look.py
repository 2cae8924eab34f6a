"""A look at a few images of a job before any work: whether its input is what it was taken for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.errors import ImageError, UsageError
from vggbatch.job.job import Job
from vggbatch.preprocess.decode import decode_image
from vggbatch.runs.verdict import DEFAULT_LIMIT, taken_for
from vggbatch.sources import InputWarning, Shard, reader_for
from vggbatch.sources.base import members_table

_LISTED = 16
"""Images that are looked at of those that are listed, spread evenly."""
_INSIDE = 4
"""Images that are looked at of the first shard, and of the last."""

UNUSABLE = "of the images that were looked at cannot be scored"


@dataclass(frozen=True)
class _Look:
    image_id: str
    error: ImageError | None


def look_at_first(job: Job) -> tuple[InputWarning, ...]:
    """Decode a few images of a job.

    Returns:
        Those that cannot be scored.

    Raises:
        UsageError: none of them can be, which would fail the job as a whole.
    """
    chosen = list(_chosen(job.shards))
    looks = [look for shard, members in chosen for look in _looks(job, shard, members)]
    bad = [look for look in looks if look.error is not None]
    limit = job.config.max_error_rate
    if limit is None and len(chosen) == len(job.shards) and not any(len(m) for _, m in chosen):
        raise UsageError(f"no image was found: {taken_for(job)}")
    if looks and len(bad) == len(looks) and (DEFAULT_LIMIT if limit is None else limit) < 1:
        raise UsageError(
            f"none of the {len(looks)} images that were looked at can be scored; the first is "
            f"{bad[0].image_id}: {bad[0].error}; {taken_for(job)}"
        )
    examples = tuple(f"{look.image_id} ({look.error})" for look in bad[:3])
    return (InputWarning(UNUSABLE, len(bad), examples),) if bad else ()


def _chosen(shards: tuple[Shard, ...]) -> Iterator[tuple[Shard, pa.Table]]:
    """A few images of the listed ones, and the first of the first and the last shard."""
    listed = [(shard, shard.members) for shard in shards if shard.members is not None]
    total = sum(len(members) for _, members in listed)
    step, start = max(1, total // _LISTED), 0
    for shard, members in listed:
        places = range(-start % step, len(members), step)
        start += len(members)
        if len(places):
            yield shard, members.take(list(places))
    closed = [shard for shard in shards if shard.members is None]
    for shard in dict.fromkeys([*closed[:1], *closed[-1:]]):
        reader = reader_for(shard.format)
        with suppress(OSError):
            first = reader.first_members(shard, _INSIDE)
            yield shard, members_table(first) if first else reader.members(shard)


def _looks(job: Job, shard: Shard, members: pa.Table) -> Iterator[_Look]:
    """What is wrong with each; a store that does not answer ends them, as the run reports it."""
    options = job.config.decode
    contents = reader_for(shard.format).read(shard, members, options.max_bytes)
    with suppress(OSError):
        for image_id, data in zip(shard.image_ids(members), contents, strict=True):
            try:
                if isinstance(data, ImageError):
                    raise data
                decode_image(data, options)
                yield _Look(image_id, None)
            except ImageError as error:
                yield _Look(image_id, error)
