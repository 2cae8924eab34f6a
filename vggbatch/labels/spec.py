"""Labels as a user names them: `[NAME=]LABELS[@SUBSET]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vggbatch import uris
from vggbatch.storage.filesystem import filesystem, public_uri

EMBEDDED = "embedded"
"""The labels that come with the images, or that a run has recorded."""

_NAMED = re.compile(r"([\w .-]+)=(.+)")

SUBSETS = ("imagenet-a", "imagenet-r")
"""Subsets of the classes that are known by name."""


@dataclass(frozen=True)
class LabelSpec:
    """The parts of `[NAME=]LABELS[@SUBSET]`; empty where not given."""

    name: str
    source: str
    """A label file, or `embedded`."""
    subset: str
    """One of `SUBSETS`, or a file of classes."""

    @classmethod
    def parse(cls, text: str) -> LabelSpec:
        """Take a spec apart. What follows an @ is a subset only if it is one, or a file.

        Raises:
            Refused: it is not UTF-8: tables of metrics are named after it.
        """
        uris.check_utf8(text)
        named = _NAMED.match(text)
        name, rest = (named[1], named[2]) if named else ("", text)
        source, at, subset = rest.rpartition("@")
        # an @ may as well belong to a path or URI
        if at and (source == EMBEDDED or subset in SUBSETS or _is_file(subset)):
            return cls(name, source, subset)
        return cls(name, rest, "")

    def public(self) -> str:
        """The spec, fit to be written down: its URIs without what may be secret."""
        named = f"{self.name}=" if self.name else ""
        subset = f"@{public_uri(self.subset)}" if self.subset else ""
        return f"{named}{public_uri(self.source)}{subset}"


def is_in_rows(text: str, recorded: str | None) -> bool:
    """Whether a spec's labels are in the rows of a run, and no file that it names is to be opened.

    Nor is any looked for, as `LabelSpec.parse` does: the spec may be of an output that somebody
    else has made.

    Args:
        text: the spec.
        recorded: the one whose labels the run has written into its rows.
    """
    base, at, subset = text.rpartition("@")
    base = base if at and subset in SUBSETS else text
    named = _NAMED.match(base)
    return (named[2] if named else base) == EMBEDDED or (text == recorded and "@" not in base)


def _is_file(path: str) -> bool:
    fs, inner = filesystem(path)
    return bool(fs.isfile(inner))
