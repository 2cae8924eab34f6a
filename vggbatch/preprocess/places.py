"""Places for large images: how many a machine decodes at a time, in whatever process.

Their number and memory follow from the machine's own memory, so that an image has the same result
whenever it is decoded there. All but the first are given only while the memory is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vggbatch.memory import free_memory, total_memory

SMALL_MB = 256
"""Memory that an image gets without a place, enough for `effort.ORDINARY_PIXELS`."""
_SHARE = 4
"""One part of so many of a machine's memory is for large images."""
_LARGEST_SHARE = 2
"""One part of so many is the most that a single image gets."""
_POLL_SECONDS = 0.02

_one_here = threading.Lock()


@dataclass(frozen=True)
class Places:
    """What a machine has for large images."""

    count: int
    memory_mb: int
    """Of each."""

    @property
    def bytes(self) -> int:
        """Of all."""
        return self.count * self.memory_mb << 20


def places_of(total: int, cpus: int, memory_mb: int) -> Places:
    """The places of a machine.

    Args:
        total: bytes of memory that it has.
        cpus: cores that it has.
        memory_mb: memory that decoding an image may take.
    """
    each = min(memory_mb, max(SMALL_MB, total // _LARGEST_SHARE >> 20))
    return Places(max(1, min(cpus, total // _SHARE // (each << 20))), each)


@cache
def places_here(memory_mb: int) -> Places:
    """The places of this machine; see `places_of`."""
    return places_of(total_memory(), os.cpu_count() or 1, memory_mb)


@contextlib.contextmanager
def place(places: Places) -> Iterator[None]:
    """Take one of the machine's places; waits until one is free."""
    folder = _folder()
    if folder is None:
        with _one_here:
            yield
        return
    while (descriptor := _taken(folder, places)) is None:
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)


def _taken(folder: Path, places: Places) -> int | None:
    """The lock of a place, None where all that may be given are taken."""
    for number in range(places.count):
        if number and free_memory() < places.memory_mb << 20:
            return None
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(folder / f"large-{number}.lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
    return None


def _folder() -> Path | None:
    """This user's folder for locks; None where it cannot be trusted to be that."""
    folder = Path(tempfile.gettempdir()) / f"vggbatch-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if mine and not found.st_mode & 0o022 else None
