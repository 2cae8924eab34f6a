"""The images of a job that are known before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vggbatch.sources import Shard, reader_for
from vggbatch.sources.names import without_repeat

_LOOK = 256
"""Images of a shard that are looked at."""


@dataclass(frozen=True)
class Image:
    """One of them."""

    image_id: str
    token: str | None
    """The label that came with it."""
    source: str


def known_images(shards: Sequence[Shard]) -> Iterator[Image]:
    """All that are listed, and the first of the first and the last shard."""
    closed = [shard for shard in shards if shard.members is None]
    for shard in shards:
        yield from listed_images(shard)
    for shard in dict.fromkeys([*closed[:1], *closed[-1:]]):
        try:
            members = reader_for(shard.format).first_members(shard, _LOOK)
        except OSError:
            continue  # the run reports it, and tries again
        for member in members:
            if not member.error:
                name = f"{shard.name}/{member.name}"
                yield Image(name, member.label, f"{shard.uri}/{without_repeat(member.name)}")


def listed_images(shard: Shard) -> Iterator[Image]:
    """The images of a listing; none of a shard that has to be opened."""
    if shard.members is None:
        return
    columns = (shard.members["label"], shard.members["source"])
    rows = zip(shard.image_ids(shard.members), *(c.to_pylist() for c in columns), strict=True)
    for image_id, token, source in rows:
        yield Image(image_id, token, source or image_id)
