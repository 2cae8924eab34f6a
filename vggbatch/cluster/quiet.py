"""Keeping Ray and its native code quiet, and the caller's process as it was afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping


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


@contextlib.contextmanager
def environment(defaults: Mapping[str, str], others: Iterable[str] = ()) -> Iterator[None]:
    """Set variables of this process that are not set, for the block.

    Args:
        defaults: the variables.
        others: names of some that are set within the block, and put back too.
    """
    before = {name: os.environ.get(name) for name in (*defaults, *others)}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, kept in before.items():
            if kept is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = kept


@contextlib.contextmanager
def log_level(level: int, names: Iterable[str]) -> Iterator[None]:
    """Let loggers take what is of a level or above it, for the block."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in before:
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, kept in before.items():
            logging.getLogger(name).setLevel(kept)
