"""List files: a path or URI per line, whatever characters it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vggbatch import text_file
from vggbatch.sources import names
from vggbatch.sources.tables import columns, dialect
from vggbatch.sources.tables.columns import Exists, Table

SUFFIXES = frozenset({"txt", "lst", "list"})
"""How the names of list files end."""

_LABELLED = re.compile(r"(?P<file>.+?)[ \t]+(?P<label>-?\d+(\.0*)?|n\d{8})")
_LABELLED_PATH = re.compile(r"(?P<file>(?:(?!://).)+?)\s*[,;|]\s*(?P<label>-?\d+|n\d{8})")
"""A URI may well end in a comma and a number."""
_IM2REC = re.compile(r"\d+\t(-?\d+(\.\d*)?\t)+[^\t]+$")
"""A line of MXNet's .lst: a number, labels, and the path last."""


def read(data: bytes, exists: Exists) -> Table:
    """A column of paths or URIs, and one of labels if each line ends in one.

    Args:
        data: the bytes of the file.
        exists: whether there is a file of a name.

    Raises:
        ValueError: it is empty, or no text.
    """
    lines = [
        line for line in text_file.lines(text_file.decode(data, "surrogateescape")) if line.strip()
    ]
    if not lines:
        raise ValueError("the file is empty")
    sample = dialect.sampled(lines)
    there = any(exists(line) for line in lines[:4] if "://" not in line)
    im2rec = all(map(_IM2REC.match, sample))
    if not there and (im2rec or ("\t" in lines[0] and not _are_files(sample, exists))):
        return columns.parse("\n".join(lines))
    if len(lines) > 1 and lines[0].strip().lower() in columns.FILE and not exists(lines[0]):
        lines = lines[1:]
    if not _are_files(sample, exists):
        for pattern in (_LABELLED, _LABELLED_PATH):
            found = [pattern.fullmatch(line.strip()) for line in lines]
            both = zip(found, lines, strict=True)
            parted = [match["file"] if match else line for match, line in both]
            if any(found) and _are_files(dialect.sampled(parted), exists):
                labels = [match["label"] if match else "" for match in found]
                return Table({"file": parted, "label": labels}, named=False)
    return Table({"file": lines}, named=False)


def _are_files(lines: Sequence[str], exists: Exists) -> bool:
    """Whether lines as they are name files, by the suffix or because one is there."""
    return dialect.mostly(lines, _ends_as_file) or any(map(exists, lines[:4]))


def _ends_as_file(line: str) -> bool:
    if "://" in line:
        return not re.search(r"\s", line.strip())
    return names.is_image(line) or names.shard_format(line) is not None
