"""What was found in an input that its owner may not expect: counts, and a few examples of each.

What is left out, and so is no row, is counted by kind where it is met: in listings, and in shards
as they are opened. The sums can be merged and stay small however much is left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

from vggbatch import json_text
from vggbatch.bounds import Count

EXAMPLES = 3

LEFT_OUT = "neither images nor shards, left out"
ARCHIVE = "archives of a form that cannot be read in place, left out: unpack them, or make them tar"
RAW = "camera raw files, left out: convert them to JPEG or TIFF"
PICTURE = "pictures in a form that is not decoded (SVG, PSD, PDF, ...), left out: convert them"
VIDEO = "videos and recordings, left out: extract their frames first"
HIDDEN = "hidden files and folders, left out"
SPECIAL = "pipes, sockets and devices, left out"
DEAD_LINK = "links that lead nowhere, left out"
LOOP = "links to folders that were listed already, not followed"
UNREAD = "files of unknown kind that could not be looked into, left out"
MARKER = "objects whose names end in /, as those that stand for folders, left out"
NO_IMAGES = "Parquet files without a column of image bytes, left out"
FURTHER = "further images of WebDataset samples (masks and the like), left out"
NO_MEMBERS = "shards without images"

NO_CLASS = "labels that are no class of this network, their images left out of the metrics"

EMPTY = "empty files, each an error row"
SAME_NAME = "images with the name of another one, told apart by #2, #3 and so on"

COMPANIONS = (
    "images named like masks, depth maps or thumbnails of others (leave them out of the input), "
    "each a row"
)


@dataclass(frozen=True)
class InputWarning:
    """One kind of it."""

    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = " ..." if self.count > len(self.examples) else ""
        return f"{self.count:,} {self.what}: {', '.join(map(shown, self.examples))}{more}"


def input_warning(what: str, names: Collection[str]) -> InputWarning:
    """A input_warning that these names show, the first of them in order as examples."""
    return InputWarning(what, len(names), tuple(nsmallest(EXAMPLES, names)))


def collect(kinds: Iterable[tuple[str, Collection[str]]]) -> tuple[InputWarning, ...]:
    """The kinds for which there are names."""
    return tuple(input_warning(what, names) for what, names in kinds if names)


def shown(name: str) -> str:
    """A name fit for a terminal and for JSON: line breaks and bytes that are no text escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name
    )


@dataclass(frozen=True)
class Skipped:
    """Something that a reader met in a shard and that is no row."""

    what: str
    name: str


@dataclass(frozen=True)
class Names:
    """How many things of a kind there are, and the first few of their names in order."""

    count: Count = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Names) -> Names:
        first = nsmallest(EXAMPLES, {*self.examples, *other.examples})
        return Names(self.count + other.count, tuple(first))


def merged(one: Mapping[str, Names], other: Mapping[str, Names]) -> dict[str, Names]:
    """The sums of two counts by kind."""
    kinds = sorted({*one, *other})
    return {what: one.get(what, Names()) + other.get(what, Names()) for what in kinds}


@dataclass
class LeftOut:
    """Counts what is left out, by kind; its size does not grow with the number of names."""

    kinds: dict[str, Names] = field(default_factory=dict)
    seen: set[int] | None = None
    """Where the same thing may be met again under another name: hashes of what was counted."""

    def add(self, what: str, name: str, uri: str = "") -> None:
        """Count one thing of a kind; `uri` shows whether it was counted already."""
        if self.seen is not None and uri:
            if hash(uri) in self.seen:
                return
            self.seen.add(hash(uri))
        known = self.kinds.get(what)
        if known is None:
            self.kinds[what] = Names(1, (shown(name),))
        elif len(known.examples) < EXAMPLES or name < known.examples[-1]:
            self.kinds[what] = known + Names(1, (shown(name),))
        else:
            self.kinds[what] = Names(known.count + 1, known.examples)

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps({what: [n.count, n.examples] for what, n in self.kinds.items()})

    @classmethod
    def from_json(cls, text: str | bytes) -> LeftOut:
        """From what `to_json` gave."""
        kinds = json_text.parse(text).items()
        return cls({what: Names(count, tuple(names)) for what, (count, names) in kinds})

    @property
    def count(self) -> int:
        """How many things there are of all kinds."""
        return sum(names.count for names in self.kinds.values())

    def input_warnings(self) -> tuple[InputWarning, ...]:
        """The kinds, in the order of their names."""
        return input_warnings_of(self.kinds)


def input_warnings_of(kinds: Mapping[str, Names]) -> tuple[InputWarning, ...]:
    """Counts by kind as input_warnings, in the order of the kinds' names."""
    return tuple(InputWarning(what, n.count, n.examples) for what, n in sorted(kinds.items()))
