"""One file as a listing has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a listing."""

    uri: str
    name: str
    """Path under the input root; the file's own name where the input is a file."""
    size: int
    """Bytes; -1 where the store does not say."""
    version: str
    """Changes when the content does."""
    explicit: bool = False
    """Named by the user, and so never left out."""
    error: str | None = None
    """`kind: message` of what cannot be read as a file."""
    fault: str = ""
    """What it counts as, beside an error, if its name is not that of an image or a shard; nothing:
    an error row in any case."""
