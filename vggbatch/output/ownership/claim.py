"""Claims: who owns an output, decided by the disk or store itself and by no clock.

    OUTPUT/_vggbatch/owner.NNNNNNNN/claim.json   who claimed the output, and the claim's token
    OUTPUT/_vggbatch/owner.NNNNNNNN/TOKEN/       on a disk: files that are being written

The owner is the run whose claim is there. A claim appears whole and only where no other has its
number: on a disk a folder is renamed into place, which fails on one that has content; in a store
the object is created with `If-None-Match`. It is never changed. A run that takes over from a dead
one claims the next number and deletes the older claim before it writes anything else. Numbers may
come again after a claim was given back; tokens do not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from vggbatch import json_text
from vggbatch.output.names import STATE
from vggbatch.output.ownership.fence import CLAIM, Fence, LeaseLost
from vggbatch.output.ownership.removal import persistently
from vggbatch.storage.disk import make_directories, sync_directory
from vggbatch.storage.filesystem import Folder, store_errors

_NAME = re.compile(r"owner\.([0-9]{8,})")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_REMAINS = (".claim-", ".ended-")
_SETTLE = 0.5
"""Seconds after which a claim in a store is read again, for there are some that take the condition
of a PUT and ignore it: more than a write takes."""


@dataclass(frozen=True)
class Claim:
    """A claim that is there."""

    number: int
    document: dict[str, Any]
    """What claim.json says; empty if it cannot be read."""

    @property
    def token(self) -> str:
        """Which claim it is; a name of its own where its file says none that a run makes."""
        # it names a folder, and the file may be anybody's
        token = self.document.get("token")
        made = isinstance(token, str) and _TOKEN.fullmatch(token)
        return str(token) if made else f"unreadable {self.number}"

    @property
    def name(self) -> str:
        """Its folder inside the output."""
        return claim_name(self.number)


def claim_name(number: int) -> str:
    """The folder of a claim inside the output."""
    return f"{STATE}/owner.{number:08d}"


def claims(folder: Folder) -> list[Claim]:
    """The claims on an output, by number; more than one while a run takes over from another."""
    found = []
    for name in folder.folders(STATE):
        if match := _NAME.fullmatch(name):
            document = _document(folder, int(match[1]))
            if document is not None:
                found.append(Claim(int(match[1]), document))
    return sorted(found, key=lambda claim: claim.number)


def create(folder: Folder, number: int, document: dict[str, Any]) -> Fence | None:
    """Claim an output.

    Args:
        folder: the output.
        number: higher than that of any claim there.
        document: what claim.json is to say: JSON with a `token` that was never used before.

    Returns:
        None if another run was faster.

    Raises:
        OSError: the output cannot be written.
    """
    fence = Fence(folder, claim_name(number), document["token"])
    data = json.dumps(document, indent=1, default=str).encode() + b"\n"
    with given_back_on_error(fence):
        made = _create_on_disk(fence, data) if folder.local else _create_in_store(fence, data)
    return fence if made else None


@contextmanager
def given_back_on_error(fence: Fence) -> Iterator[None]:
    """A block whose failure ends a claim: else this process, as it lives, would keep the output."""
    try:
        yield
    except BaseException:
        with suppress(OSError, LeaseLost):
            give_back(fence)
        raise


def revoke(folder: Folder, claim: Claim) -> None:
    """Take a claim away: from now on its holder's writes fail."""
    _remove(folder, claim)


def give_back(fence: Fence) -> None:
    """End a claim; what is left of the state folder goes if it is empty. Raises LeaseLost."""
    fence.check()
    number = int(fence.claim.rpartition(".")[2])
    _remove(fence.folder, Claim(number, {"token": fence.token}))
    if fence.folder.local:
        with suppress(OSError):
            persistently(lambda: _remove_if_empty(fence.folder.path(STATE)))


def sweep(fence: Fence) -> None:
    """Remove what runs have left that were killed while they claimed or gave back an output."""
    for name in _remains(fence.folder):
        fence.delete_tree(f"{STATE}/{name}")


def creates_exclusively(fence: Fence, name: str, data: bytes) -> bool:
    """Whether a store takes a file that is to be created only where there is none.

    Old clients drop the condition, and some stores ignore it.

    Args:
        fence: of the owner.
        name: a file that is there.
        data: its content, which it keeps where the condition is ignored.
    """
    if fence.folder.local:
        return True
    fence.check()
    try:
        with store_errors():
            fence.folder.fs.pipe_file(fence.folder.path(name), data, mode="create")
    except OSError:
        return True
    return False


def is_of_claims(name: str) -> bool:
    """Whether a folder of the state is a claim, or what is left of one."""
    return bool(_NAME.fullmatch(name)) or name.startswith(_REMAINS)


def _remains(folder: Folder) -> list[str]:
    return [name for name in folder.folders(STATE) if name.startswith(_REMAINS)]


def _document(folder: Folder, number: int) -> dict[str, Any] | None:
    """What a claim says; empty if it cannot be read, None if it is not there any more."""
    try:
        document = json_text.parse(folder.read_bytes(f"{claim_name(number)}/{CLAIM}"))
    except FileNotFoundError:
        # on a disk the folder alone is a claim, whatever became of the file
        return {} if folder.local and os.path.isdir(folder.path(claim_name(number))) else None
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _create_on_disk(fence: Fence, data: bytes) -> bool:
    state = fence.folder.path(STATE)
    new = f"{state}/.claim-{fence.token}"
    make_directories(f"{new}/{fence.token}")
    try:
        with open(f"{new}/{CLAIM}", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(new)
        os.rename(new, fence.folder.path(fence.claim))
    except OSError as error:
        # NFS may fail a rename that it has done, where it was asked twice
        if not _is_ours(fence):
            # ENOTEMPTY here; other systems say otherwise
            taken = isinstance(error, FileExistsError | FileNotFoundError)
            if taken or os.path.isdir(fence.folder.path(fence.claim)):
                return False
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    sync_directory(state)
    return True


def _create_in_store(fence: Fence, data: bytes) -> bool:
    path = fence.folder.path(f"{fence.claim}/{CLAIM}")
    try:
        with store_errors():
            fence.folder.fs.pipe_file(path, data, mode="create")
    except OSError as error:
        # there already, or created by a request whose answer was lost and that was repeated
        if isinstance(error, FileExistsError) or fence.folder.exists(f"{fence.claim}/{CLAIM}"):
            return _is_ours(fence)
        raise
    time.sleep(_SETTLE)
    return _is_ours(fence)


def _is_ours(fence: Fence) -> bool:
    try:
        fence.check()
    except LeaseLost:
        return False
    return True


def _remove(folder: Folder, claim: Claim) -> None:
    """Delete a claim if it still is that one."""
    if not folder.local:
        persistently(lambda: folder.delete(f"{claim.name}/{CLAIM}"))
        return
    # Nothing is created, for a full disk must not keep a claim. This rename ends it: the number may
    # be claimed again by now, the token is one claim's own.
    ended = folder.path(f"{STATE}/.ended-{uuid.uuid4().hex}")
    workspace = f"{ended}.files"
    persistently(lambda: _move(folder.path(f"{claim.name}/{claim.token}"), workspace))
    if os.path.isdir(workspace) or _is_there(folder, claim):
        persistently(lambda: _move(folder.path(claim.name), ended))
    persistently(lambda: sync_directory(folder.path(STATE)))
    for path in (workspace, ended):
        persistently(partial(_remove_tree, path))


def _is_there(folder: Folder, claim: Claim) -> bool:
    """Whether a claim has no folder of its files any more, as of a run killed in `_remove`."""
    document = _document(folder, claim.number)
    return document is not None and Claim(claim.number, document).token == claim.token


def _move(path: str, target: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(path, target)


def _remove_tree(path: str) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def _remove_if_empty(path: str) -> None:
    if not os.listdir(path):
        os.rmdir(path)
