"""What this user has recorded on this machine, and not what others have put into an output.

An output says where its images are, and a page shows them. In an output that comes from elsewhere
that may be anybody's files, or addresses inside of this network. So what a run records is marked
with a key that only its user can read, together with the place of the output.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from vggbatch.storage.disk import sync_directory
from vggbatch.storage.filesystem import Folder

_BYTES = 32


def mark_of(folder: Folder, data: bytes) -> bytes | None:
    """The mark of a file of an output; None where no key can be kept."""
    key = _key(make=True)
    return None if key is None else _mark(key, folder, data)


def is_own(folder: Folder, data: bytes, mark: bytes) -> bool:
    """Whether a file of an output is as this user has recorded it, here and for this output."""
    key = _key(make=False)
    return key is not None and hmac.compare_digest(_mark(key, folder, data), mark.strip())


def _mark(key: bytes, folder: Folder, data: bytes) -> bytes:
    place = os.path.realpath(folder.root) if folder.local else folder.uri
    digest = hashlib.sha256(data).digest()
    return hmac.new(key, os.fsencode(place) + b"\0" + digest, "sha256").hexdigest().encode()


def _key(*, make: bool) -> bytes | None:
    """The user's key, in the cache and readable by nobody else."""
    from vggbatch.models.cache import (
        cache_folder,  # here, as processes that write no plan need none
    )

    path = cache_folder() / f"own-{os.geteuid()}.key"
    try:
        if make and not os.path.lexists(path):
            _make(path)
        key = _read(path)
        if make and key is not None and not _is_whole(key):
            path.unlink()  # what a power cut has left of it: nothing is marked with that
            _make(path)
            key = _read(path)
    except OSError:
        return None
    return key if key is not None and _is_whole(key) else None


def _read(path: Path) -> bytes | None:
    """What is in the file of a key; None where others may have written or read it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        private = stat.S_ISREG(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
        return file.read(_BYTES + 1) if private and status.st_uid == os.geteuid() else None


def _is_whole(key: bytes) -> bool:
    return len(key) == _BYTES and any(key)


def _make(path: Path) -> None:
    """Make the key; of two processes at once one does, whole and durably."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        os.unlink(partial)
    sync_directory(str(path.parent))
