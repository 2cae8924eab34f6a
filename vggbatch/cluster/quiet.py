"""Keeping native code from the user's terminal, where what it says comes as an exception, too."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def own_stderr() -> None:
    """Give Python's standard error a file descriptor of its own, which `silent_stderr` leaves.

    For a process whose threads continue talking meanwhile; to be called before anything else.
    """
    try:
        if sys.stderr.fileno() != 2:
            return
    except (AttributeError, OSError, ValueError):
        return  # it is somebody's object, or closed
    sys.stderr = open(  # noqa: SIM115 - for as long as the process lives
        os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors
    )


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Throw away what this process writes to file descriptor 2 within the block."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
