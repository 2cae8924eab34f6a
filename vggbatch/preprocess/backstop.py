"""An end to decoding in a thread that takes far longer than its header promised.

What the header check (see effort.py) misjudges is most likely a loop in Pillow's own Python, over
a file's metadata or runs: its C decoders take time by pixels and bytes, which are bounded. So a
thread that has used up its CPU time gets an exception at its next step in Python, and the image is
decoded again in a process that can be ended. Of an image that is as cheap as it looks this costs
two entries in a table (2 µs, measured).
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

_LOOKS_SECONDS = 1.0
"""Between two looks at the threads."""


class TooSlow(BaseException):
    """Raised in a thread whose image has used up its time; no `except Exception` takes it."""


@dataclass
class _Open:
    """An image that a thread is at."""

    until: float
    """CPU time of the thread at which it is to end."""
    ended: bool = False


_lock = threading.Lock()
_open: dict[int, _Open] = {}
_watch: threading.Thread | None = None


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let the block take so much CPU time of this thread, as far as it comes back to Python.

    Raises:
        TooSlow: it took longer.
    """
    thread = threading.get_ident()
    _begin_watch()
    try:
        with _lock:
            _open[thread] = _Open(time.thread_time() + seconds)
        yield
    finally:
        with _lock:
            image = _open.pop(thread, None)
            if image is not None and image.ended:
                _raise_in(thread, None)  # sent, and not yet there: not for what comes next


def _begin_watch() -> None:
    global _watch
    if _watch is None or not _watch.is_alive():
        with _lock:
            if _watch is None or not _watch.is_alive():  # a fork has its threads no more
                _watch = threading.Thread(target=_look, name="decoding limits", daemon=True)
                _watch.start()


def _look() -> None:
    while True:
        time.sleep(_LOOKS_SECONDS)
        with _lock:
            for thread, image in _open.items():
                # a thread stays until it has taken out its image, so its clock is there
                used = time.clock_gettime(time.pthread_getcpuclockid(thread))
                if used > image.until:
                    image.ended = True
                    _raise_in(thread, TooSlow)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Raise an exception at a thread's next step in Python; None: take it back."""
    what = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
