"""Images that a thread may not decode go to processes that can be ended, few large ones at a time.

A process has as many of them as its threads need at once, and keeps them. First an image gets a
little memory, which does for all but the large ones. Those wait for a place: so many of them are
decoded at a time on a machine as a quarter of its memory has room for, in whatever process.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from vggbatch.config import DecodeOptions
from vggbatch.errors import ImageError
from vggbatch.preprocess.isolated import IsolatedDecoder
from vggbatch.preprocess.transform import Pixels

if TYPE_CHECKING:
    from vggbatch.preprocess.pictures import PictureMaker

Result = TypeVar("Result")

_SMALL_MB = 256
"""Memory that an image gets first, enough for `effort.ORDINARY_PIXELS`."""
_SHARE = 4
"""One part of so many of a machine's memory is for large images."""
_POLL_SECONDS = 0.02

_idle: list[IsolatedDecoder] = []
_lock = threading.Lock()


@atexit.register
def _close() -> None:
    while _idle:
        _idle.pop().close()


def guarded_pictures(data: bytes, maker: PictureMaker) -> list[list[Pixels]]:
    """The pictures of an image, decoded elsewhere. Raises as `IsolatedDecoder.pictures`."""
    return _guarded(lambda child, memory: child.pictures(data, maker, memory), maker.options)


def guarded_image(data: bytes, options: DecodeOptions, side: int | None) -> Image.Image:
    """An image, decoded elsewhere. Raises as `IsolatedDecoder.image`."""
    return _guarded(lambda child, memory: child.image(data, options, side, memory), options)


def _guarded(decode: Callable[[IsolatedDecoder, int], Result], options: DecodeOptions) -> Result:
    with _child() as child:
        if options.max_memory_mb > _SMALL_MB:
            with contextlib.suppress(_TooLarge):
                return _small(decode, child)
        with _place(options.max_memory_mb):
            return decode(child, options.max_memory_mb)


class _TooLarge(Exception):
    """It may need more memory than a small image."""


def _small(decode: Callable[[IsolatedDecoder, int], Result], child: IsolatedDecoder) -> Result:
    try:
        return decode(child, _SMALL_MB)
    except ImageError as error:
        # what is too large for a little memory, or killed the process in the attempt
        if error.kind not in ("too_large", "crash"):
            raise
        raise _TooLarge from None


@contextlib.contextmanager
def _child() -> Iterator[IsolatedDecoder]:
    """A decoding process for one image, kept for the next."""
    with _lock:
        child = _idle.pop() if _idle else IsolatedDecoder()
    try:
        yield child
    except BaseException as error:
        # an answer may be left in the pipe of one that was interrupted
        if not isinstance(error, ImageError):
            child.close()
        raise
    finally:
        with _lock:
            _idle.append(child)


@contextlib.contextmanager
def _place(memory_mb: int) -> Iterator[None]:
    """One of the machine's places for large images; waits until one is free."""
    names = [f"large-{number}.lock" for number in range(places(memory_mb))]
    folder = _folder()
    if folder is None:
        with _one_here:
            yield
        return
    while True:
        for name in names:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(folder / name, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            try:
                yield
            finally:
                os.close(descriptor)
            return
        time.sleep(_POLL_SECONDS)


_one_here = threading.Lock()


@cache
def places(memory_mb: int) -> int:
    """Large images that this machine decodes at a time."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            memory = min(memory, int((Path("/sys/fs/cgroup") / limit).read_text()))
    return max(1, min(os.cpu_count() or 1, memory // _SHARE // (memory_mb << 20)))


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
