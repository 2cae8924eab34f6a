"""The document of a set of shards that `pack` writes, by which an incomplete set is recognized.

`pack.json` is there before the first shard, says of each shard what it holds and where the next one
begins in the input, and at the end that the set is complete. So a set whose packing was killed is
refused as an input, and continued by the same command to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vggbatch.bounded import is_web
from vggbatch.bounds import Count
from vggbatch.errors import UsageError
from vggbatch.sources.base import Packed, Shard
from vggbatch.sources.input_warnings import Names
from vggbatch.storage.filesystem import Folder, filesystem, public_uri

NAME = "pack.json"
_SHARD = re.compile(r"shard-\d{6,}\.(tar|parquet)")


class PackedShard(BaseModel):
    """One shard of a set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    size: Count
    """Bytes of the file."""
    sha256: str
    images: Count
    labels: Count | None = None
    """In members of their own; None in sets of earlier versions."""
    image_bytes: Count
    next: tuple[int, int]
    """Number of the input's shard, and of the image in it, with which the next one begins."""
    unread: tuple[str, ...] = ()
    """Images before `next` that could not be read: `image_id: kind: message`."""
    left_out: dict[str, Names] = {}
    """What was met on the way to the images and is none, by kind."""


class PackedSet(BaseModel):
    """A set of shards, so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    complete: bool = False
    plan: str
    """A digest of the input and of all settings that the shards follow from."""
    shards: tuple[PackedShard, ...] = ()
    unread: tuple[str, ...] = ()
    """Images behind the last shard that could not be read."""
    left_out: dict[str, Names] = {}
    """What else lies behind it and is no image."""


def shard_name(number: int, suffix: str) -> str:
    """The name of a shard in a set."""
    return f"shard-{number:06}.{suffix}"


def plan_digest(shards: Iterable[Shard], settings: Mapping[str, Any]) -> str:
    """A digest of all that the shards of a set follow from."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for shard in shards:
        digest.update(json.dumps([shard.name, shard.uri, shard.size, shard.version]).encode())
    return digest.hexdigest()


def read_set(folder: Folder) -> PackedSet | None:
    """The document in a folder; None where there is none.

    Raises:
        UsageError: it is damaged.
    """
    try:
        return PackedSet.model_validate_json(folder.read_bytes(NAME))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None  # a store that may not be listed forbids what is not there
    except ValidationError:
        where = f"{public_uri(folder.uri)}/{NAME}"
        raise UsageError(
            f"{where} is damaged, or of another version of vggbatch: what is in the set cannot be "
            "known; pack it again into an empty folder, or delete the file to use what is there"
        ) from None


def check_sets(found: Sequence[tuple[str, int, bool]]) -> dict[str, Packed]:
    """Refuse shards of sets that are not whole.

    Args:
        found: URI and size of each file that was found, and whether the user named it.

    Returns:
        What was packed into each, by URI, of those that belong to a set.

    Raises:
        UsageError: a set is incomplete, or lacks shards, or has some of another size.
    """
    contents: dict[str, Packed] = {}
    for uri, files in _sets_of(found).items():
        if is_web(filesystem(uri)[0]):
            continue
        folder = Folder(uri)
        packed = read_set(folder)
        if packed is None:
            continue
        where = public_uri(folder.uri)
        if not packed.complete:
            raise UsageError(
                f"{where} is an incomplete set, {len(packed.shards)} shards so far: run the same "
                "`vggbatch pack` command again to complete it"
            )
        sizes = {shard.name: shard.size for shard in packed.shards}
        # one shard that the user names need not have the others with it
        wanted = sizes.keys() & files.sizes.keys() if files.named else sizes.keys()
        wrong = [name for name in sorted(wanted) if files.sizes.get(name, -1) != sizes[name]]
        if wrong:
            state = "missing" if wrong[0] not in files.sizes else "of another size"
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UsageError(
                f"{where} lacks shards that were packed: {wrong[0]}{more} ({state}); copy them "
                f"again, pack again, or delete {NAME} to use what is there"
            )
        for shard in packed.shards:
            if shard.name in files.sizes:
                contents[f"{uri}/{shard.name}"] = Packed(shard.images, shard.labels)
    return contents


@dataclass
class _Files:
    sizes: dict[str, int] = field(default_factory=dict)
    named: bool = True


def _sets_of(found: Sequence[tuple[str, int, bool]]) -> dict[str, _Files]:
    """Files that may belong to sets, by their folder."""
    sets: dict[str, _Files] = {}
    for uri, size, named in found:
        folder, _, name = uri.rpartition("/")
        if folder and _SHARD.fullmatch(name):
            files = sets.setdefault(folder, _Files())
            files.sizes[name] = size
            files.named = files.named and named
    return sets
