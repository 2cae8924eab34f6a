"""What Python callers give, checked: outputs and files as text, values of few choices."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, get_args

from vggbatch.config import Location
from vggbatch.errors import UsageError


def texts(named: Location | Iterable[Location]) -> list[str]:
    """One location or several, as text."""
    several = [named] if isinstance(named, str | os.PathLike) else named
    return [os.fspath(one) for one in several]


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse a value that is none of a Literal's.

    Args:
        name: of the option.
        value: what it was given.
        choices: the Literal.

    Raises:
        UsageError: it is not one of them.
    """
    known = get_args(choices)
    if value not in known:
        raise UsageError(f"{name} is {value!r}: it is one of {', '.join(known)}")
