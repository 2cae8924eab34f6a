"""What names outputs and files in Python: text, or a path of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable

Location = str | os.PathLike[str]
"""A path or URI."""


def texts(named: Location | Iterable[Location]) -> list[str]:
    """One location or several, as text."""
    several = [named] if isinstance(named, str | os.PathLike) else named
    return [os.fspath(one) for one in several]
