"""Keeping pyarrow from importing pandas, which takes a third of a second, until it is of use.

At its first array of Python objects pyarrow imports pandas where it is installed, as Ray Data has
it, in order to know pandas's objects from others. Of those there are none before Ray Data starts.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import pyarrow as pa


class _Refusal:
    """A finder of modules that finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Say that there is none; of other modules, nothing."""
        if name == "pandas":
            raise ImportError("not yet")


def postpone_pandas() -> None:
    """Let pyarrow look for pandas now, in vain. For a process that is this project's own."""
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(refusal)


def know_pandas() -> None:
    """Let pyarrow import it now, as if it had not been postponed."""
    with suppress(AttributeError, ImportError):
        pa.lib._pandas_api.pd  # noqa: B018 - looks again
