"""What was found in an input that its owner may not expect: counts, and a few examples of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from heapq import nsmallest

EXAMPLES = 3

LEFT_OUT = "neither images nor shards, left out"
ARCHIVE = "archives of a form that cannot be read in place, left out: unpack them, or make them tar"
NO_IMAGES = "Parquet files without a column of image bytes, left out"
EMPTY = "empty files, each an error row"
SAME_NAME = "images with the name of another one, told apart by #2, #3 and so on"


@dataclass(frozen=True)
class Surprise:
    """One kind of it."""

    what: str
    count: int
    examples: tuple[str, ...]


def surprise(what: str, names: Collection[str]) -> Surprise:
    """A surprise that these names show, the first of them in order as examples."""
    return Surprise(what, len(names), tuple(nsmallest(EXAMPLES, names)))


def noticed(kinds: Iterable[tuple[str, Collection[str]]]) -> tuple[Surprise, ...]:
    """The kinds for which there are names."""
    return tuple(surprise(what, names) for what, names in kinds if names)
