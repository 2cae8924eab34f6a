"""Whether a large file still has the content that it was recorded with, found out once.

A file is read whole and its SHA-256 compared; that it was right is then noted in a folder of this
user's own that does not outlive the machine's boot, under everything that changes when the file
does: device, inode, size, and the times of the last change to its content and its inode. From then
on a look at those is enough. What this does not notice, until the next boot, is a disk that returns
other bytes than were written, without a write.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from vggbatch.bounded import NotRegularError, open_regular

_ALWAYS_READ = 4 * 2**20
"""Bytes up to which a file is always read: some milliseconds."""
_SETTLED = 0.1
"""Seconds since a file's last change after which the next one has another time, on any kernel."""
_BLOCK = 8 * 2**20


def sha256_of(file: Path | BinaryIO) -> str:
    """SHA-256 of a file's content, in hexadecimal; nothing but a regular file is opened."""
    if isinstance(file, Path):
        with open_regular(file) as opened:
            return sha256_of(opened)
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def is_intact(path: Path, sha256: str, size: int | None = None) -> bool:
    """Whether a file has this content.

    Args:
        path: the file; it may be missing.
        sha256: of its content.
        size: in bytes, where it is known.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        with open_regular(path) as file:
            before = os.fstat(file.fileno())
            if size not in (None, before.st_size):
                return False
            note = _note(before, sha256)
            if note is not None and note.exists():
                return True
            if sha256_of(file) != sha256:
                return False
            after = os.fstat(file.fileno())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotRegularError):
        return False
    unchanged = (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
    if unchanged and note is not None and time.time() - after.st_ctime > _SETTLED:
        note.touch(mode=0o600)
    return unchanged


def _note(found: os.stat_result, sha256: str) -> Path | None:
    """The file whose existence says that such a file was right; None where it is to be read."""
    folder = _private_folder()
    if folder is None or found.st_size <= _ALWAYS_READ:
        return None
    what = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    name = hashlib.sha256(f"{_boot()} {what} {sha256}".encode()).hexdigest()
    return folder / name


@functools.cache
def _boot() -> str:
    """What names the time since the machine was started."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _private_folder() -> Path | None:
    """A folder that only this user can read or write, on memory where there is one; None if not."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = f"vggbatch-{os.getuid()}"
    candidates = [Path(runtime) / "vggbatch"] if runtime else []
    for folder in (*candidates, Path("/dev/shm") / own, Path(tempfile.gettempdir()) / own):
        try:
            if not folder.exists():
                folder.mkdir(mode=0o700)
            found = folder.lstat()
            private = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
            if stat.S_ISDIR(found.st_mode) and private and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return None
