"""Loose image files: listings cut into slices that serve as shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from vggbatch.sources import names
from vggbatch.sources.base import Member, Reader, Shard, members_table, with_unique_names
from vggbatch.sources.listed import Listed
from vggbatch.storage.filesystem import public_uri

SLICE = 4096
"""Loose files in one slice of a listing."""


class FileReader(Reader):
    """Image files that lie there one by one."""

    format = "files"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member]:
        """Yield the one image that a file is."""
        yield Member(shard.uri.rsplit("/", 1)[-1], 0, shard.size)


def member_of(file: Listed) -> Member:
    """An image file as a member, labeled by the WordNet id of its folder if it has one."""
    size = file.size if file.error is None else 0
    label = names.wnid_of_folder(file.uri)
    return Member(file.name, 0, size, label, file.uri, file.error, version=file.version)


def slices(files: Iterable[Member]) -> list[Shard]:
    """Image files, each with its version, as shards: sorted by name, so the same every time."""
    members = with_unique_names(sorted(files, key=lambda file: (file.name, file.source or "")))
    del files
    members.reverse()
    shards = []
    while members:
        # a table and what it is made of are not kept both: of a million files, 200 MB
        shards.append(_slice(members[: -SLICE - 1 : -1]))
        del members[-SLICE:]
    return shards


def _slice(members: Sequence[Member]) -> Shard:
    digest = hashlib.sha256()
    for member in members:
        source = public_uri(member.source or "")  # a signature may be renewed
        line = f"{member.name}\0{source}\0{member.size}\0{member.version or ''}\n"
        digest.update(line.encode())
    size = sum(max(member.size, 0) for member in members)
    return Shard(FileReader.format, "", "", size, digest.hexdigest(), members_table(members))
