"""One image of a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One image with what was predicted for it."""

    image_id: str
    source: str
    labels: tuple[int, ...]
    """Accepted classes; empty where unknown."""
    index: tuple[int, ...]
    probability: tuple[float, ...]
    synsets: tuple[str, ...]
    """`wnid name` of each prediction."""
    error: str | None
