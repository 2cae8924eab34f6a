"""What a large file's content is, found out once: its digest, or the outline of a graph.

A file is read whole, and what was found is noted in a folder of this user's own that does not
outlive the machine's boot, under everything that changes when the file does: device, inode, size,
and the times of the last change to its content and its inode. From then on a look at those is
enough. What this does not notice, until the next boot, is a disk that returns other bytes than were
written, without a write.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from vggbatch.bounded import NotRegularError, open_regular

_ALWAYS_READ = 4 * 2**20
"""Bytes up to which a file is always read: some milliseconds."""
_SETTLED = 0.1
"""Seconds since a file's last change after which the next one has another time, on any kernel."""
_COARSELY_SETTLED = 3.0
"""The same where times are whole seconds, as of objects in a mounted bucket, or even ones (FAT)."""
_BLOCK = 8 * 2**20
_DIGEST = hashlib.sha256().digest_size


class _ChangedError(OSError):
    """A file that was written to while it was read."""


def sha256_of(file: Path | BinaryIO) -> str:
    """SHA-256 of a file's content, in hexadecimal; nothing but a regular file is opened."""
    if isinstance(file, Path):
        with open_regular(file) as opened:
            return sha256_of(opened)
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def known_of(path: Path, question: str, find: Callable[[BinaryIO], bytes]) -> bytes:
    """What is found in a file, looked for again only where the file has changed.

    Args:
        path: of the file.
        question: names what is looked for; another version of `find` needs another one.
        find: gives the answer for the open file.

    Raises:
        OSError: it cannot be read, or changed while it was.
        NotRegularError: it is no regular file.
    """
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        note = _note(before, question)
        answer = _noted(note)
        if answer is not None:
            return answer
        answer = find(file)
        after = os.fstat(file.fileno())
    if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
        raise _ChangedError(f"{path} changed while it was read")
    if note is not None and _is_settled(after):
        _write_note(note, answer)
    return answer


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
        if size not in (None, path.stat().st_size):
            return False
        return digest_of(path) == sha256
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except (NotRegularError, _ChangedError):
        return False


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; a large one is read once. Raises OSError."""
    return known_of(path, "sha256", lambda file: sha256_of(file).encode()).decode()


def _is_settled(found: os.stat_result) -> bool:
    """Whether another change would give the file another time."""
    coarse = found.st_ctime_ns % 10**9 == 0
    return time.time() - found.st_ctime > (_COARSELY_SETTLED if coarse else _SETTLED)


def _note(found: os.stat_result, question: str) -> Path | None:
    """The file that keeps what was found in such a file; None where it is to be read."""
    folder = _private_folder()
    if folder is None or found.st_size <= _ALWAYS_READ:
        return None
    what = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return folder / hashlib.sha256(f"{_boot()} {what} {question}".encode()).hexdigest()


def _noted(note: Path | None) -> bytes | None:
    """The answer in a note; None where there is none, or one that was not written to its end."""
    try:
        text = b"" if note is None else note.read_bytes()
    except OSError:
        return None
    digest, answer = text[:_DIGEST], text[_DIGEST:]
    return answer if hashlib.sha256(answer).digest() == digest else None


def _write_note(note: Path, answer: bytes) -> None:
    """Note an answer, where there is room: without the note the file is read again."""
    with suppress(OSError), open(note, "wb", opener=_for_the_owner) as file:
        file.write(hashlib.sha256(answer).digest() + answer)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


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
