"""An end to decoding in a thread that takes far longer than its header promised.

What the header check (see effort.py) misjudges is most likely a loop in Pillow's own Python, over
a file's metadata or runs: its C decoders take time by pixels and bytes, which are bounded. So a
thread that has used up its CPU time gets an exception at its next step in Python, and the image is
decoded again in a process that can be ended. An image that is as cheap as it looks pays for an
entry in a table; all else is the watching thread's work.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from types import TracebackType

_LOOKS_SECONDS = 0.5
"""Between two looks at the threads."""


class TooSlow(BaseException):
    """Raised in a thread whose image has used up its time; no `except Exception` takes it."""


class Limited:
    """Let a block take so much CPU time of this thread, as far as it comes back to Python.

    Raises `TooSlow` in the block, or at its end, where it takes longer.

    Args:
        seconds: the time; up to half a second more passes before it is noticed.
    """

    __slots__ = ("clock", "late", "seconds", "since", "thread")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.late = False
        self.since: float | None = None
        """CPU time of the thread at the first look."""

    def __enter__(self) -> None:
        self.thread = threading.get_ident()
        self.clock = time.pthread_getcpuclockid(self.thread)
        if _watch is None:
            _begin_watch()
        _open[self.thread] = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _open.pop(self.thread, None)
        if self.late:
            with _lock:
                # sent, and perhaps not yet there: it is not for what comes next
                _raise_in(self.thread, None)


_lock = threading.Lock()
_open: dict[int, Limited] = {}
"""What each thread is at."""
_watch: threading.Thread | None = None


def _begin_watch() -> None:
    global _watch
    with _lock:
        if _watch is None:
            _watch = threading.Thread(target=_look, name="decoding limits", daemon=True)
            _watch.start()


def _forget_watch() -> None:
    """After a fork, which has no other threads."""
    global _watch, _lock
    _watch, _lock = None, threading.Lock()
    _open.clear()


os.register_at_fork(after_in_child=_forget_watch)


def _look() -> None:
    while True:
        time.sleep(_LOOKS_SECONDS)
        for thread, image in list(_open.items()):
            # a thread that has ended has no clock
            with _lock, contextlib.suppress(OSError):
                _check(thread, image)


def _check(thread: int, image: Limited) -> None:
    """Interrupt a thread that is over its time."""
    used = time.clock_gettime(image.clock)
    if image.since is None:
        image.since = used
    elif used - image.since > image.seconds:
        image.late = True
        if _open.get(thread) is image:
            _raise_in(thread, TooSlow)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Raise an exception at a thread's next step in Python; None: take it back."""
    what = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
