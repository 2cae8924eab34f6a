"""Loose image files: listings cut into slices that serve as shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
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
    if file.error is not None:
        return Member(file.name, 0, 0, names.wnid_of_folder(file.uri), file.uri, file.error)
    return Member(file.name, 0, file.size, names.wnid_of_folder(file.uri), file.uri)


def slices(files: Iterable[tuple[Member, str]]) -> list[Shard]:
    """Image files, each with its version, as shards: sorted by name, so the same every time."""
    ordered = sorted(files, key=lambda item: (item[0].name, item[0].source or ""))
    members = with_unique_names([member for member, _ in ordered])
    versions = [version for _, version in ordered]
    return [
        _slice(members[start : start + SLICE], versions[start : start + SLICE])
        for start in range(0, len(members), SLICE)
    ]


def _slice(members: Sequence[Member], versions: Sequence[str]) -> Shard:
    digest = hashlib.sha256()
    for member, version in zip(members, versions, strict=True):
        source = public_uri(member.source or "")  # a signature may be renewed
        digest.update(f"{member.name}\0{source}\0{member.size}\0{version}\n".encode())
    size = sum(max(member.size, 0) for member in members)
    table = members_table(
        [replace(m, version=version) for m, version in zip(members, versions, strict=True)]
    )
    return Shard(FileReader.format, "", "", size, digest.hexdigest(), table)
