"""Outputs and files as Python callers name them, as text."""

from __future__ import annotations

import os
from collections.abc import Iterable

from vggbatch.config import Location


def texts(named: Location | Iterable[Location]) -> list[str]:
    """One location or several, as text."""
    several = [named] if isinstance(named, str | os.PathLike) else named
    return [os.fspath(one) for one in several]
