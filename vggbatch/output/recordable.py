"""Whether names can be written into an output's documents, which are UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vggbatch.errors import UsageError
from vggbatch.text import printable


def check_recordable(named: Any) -> None:
    """Make sure, before long work, that what a user has named can be recorded.

    Args:
        named: texts, in dictionaries and lists of any depth.

    Raises:
        UsageError: a name has bytes that are not UTF-8, as names of files may have.
    """
    for text in _texts(named):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{printable(text)} is not UTF-8, and what records the run is: rename it, or name "
                "a link to it"
            ) from None


def _texts(named: Any) -> Iterator[str]:
    if isinstance(named, str):
        yield named
    elif isinstance(named, dict):
        for value in named.values():
            yield from _texts(value)
    elif isinstance(named, list | tuple):
        for value in named:
            yield from _texts(value)
