"""The lock files of a machine's cores, in a folder that all users share and none can trust.

What others put there can cost this process its pinning, or a core that it shares with another; it
can neither fail a run nor have anything but empty files written. No link is followed, only regular
files are opened, and nothing is read from or written to them. A folder that does not fit is left
for one of the user's own, which still keeps this user's processes apart.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unfit(OSError):
    """A folder, or a file in it, that is not as this program makes it."""


class CoreLock:
    """A lock that is held until it is closed or its process ends.

    Args:
        descriptor: an open file with the lock.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def lock_core(core: int, folder: Path | None = None) -> CoreLock | None:
    """Take the lock of a core.

    Args:
        core: number of the logical CPU.
        folder: of the locks; None: one for all processes of the machine, or the user's own.

    Returns:
        The lock; None where another process has it, or no folder can be used.
    """
    folders = _folders() if folder is None else iter([folder])
    for candidate in folders:
        try:
            return _lock_in(candidate, f"cpu{core}.lock", shared=candidate == shared_folder())
        except OSError as error:
            _warn(candidate, error)
    return None


def shared_folder() -> Path:
    """The folder of the locks that all users of the machine share."""
    return _base() / "vggbatch-cores"


def _base() -> Path:
    return Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())


def _folders() -> Iterator[Path]:
    """The shared folder, then those of the user's own."""
    yield shared_folder()
    yield _base() / f"vggbatch-cores-{os.getuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "vggbatch-cores"


def _lock_in(folder: Path, name: str, *, shared: bool) -> CoreLock | None:
    directory = _opened_folder(folder, shared=shared)
    try:
        descriptor = _opened_file(directory, name, shared=shared)
    finally:
        os.close(directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return CoreLock(descriptor)


def _opened_folder(folder: Path, *, shared: bool) -> int:
    """The folder, made if it is not there. Raises OSError, `Unfit` where it may not be used."""
    try:
        os.mkdir(folder, 0o700)
        made = True
    except FileExistsError:
        made = False
    descriptor = os.open(folder, _FLAGS | os.O_DIRECTORY)
    if made and shared:
        # whatever the umask is: any user of the machine must be able to take the shared locks
        os.fchmod(descriptor, 0o1777)
    found = os.fstat(descriptor)
    if not shared and found.st_uid != os.getuid():
        os.close(descriptor)
        raise Unfit(f"it belongs to the user with the number {found.st_uid}")
    return descriptor


def _opened_file(directory: int, name: str, *, shared: bool) -> int:
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        descriptor = os.open(name, _FLAGS | os.O_CREAT, 0o644, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unfit(f"{name} is no regular file")
    if shared and os.fstat(descriptor).st_uid == os.getuid():
        # a lock needs no more than that the file can be opened
        os.fchmod(descriptor, 0o644)
    return descriptor


_warned = False


def _warn(folder: Path, error: OSError) -> None:
    """Say once in a process that a folder of locks is left aside, and why."""
    global _warned
    if not _warned:
        _warned = True
        reason = error.strerror or str(error)
        log.warning("cannot lock cores in %s (%s); trying a folder of this user's", folder, reason)
