"""Delimited text taken apart: which delimiter, which quotes, and whether the first row is a header.

A delimiter is chosen by what it gives: rows of one width, most of all rows with a file and a label.
A first row is a header if the cells below one of its cells are all of a kind that it is not.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence

from vggbatch import text_file
from vggbatch.sources import names
from vggbatch.sources.classes import as_integer, is_unlabeled

_DELIMITERS = "\t,;|"
_SAMPLE = 500
"""Rows that are looked at to choose."""
_MAJORITY = 0.9
"""Share of a column's cells that must be of a kind for the column to be: there are odd rows."""

_PREAMBLE = re.compile(r"\ufeff?(\s*(# [^\t,;|\r\n]*|\"?sep=.\"?)(\r\n|\r|\n))+")

_LONGEST_LINE = 2**24
"""Characters; of a field too."""
MOST_CELLS = 2**26
"""Delimiters, and lines: a cell takes some 60 bytes of memory, however few it has in the file."""

csv.field_size_limit(_LONGEST_LINE)


def parse(content: str, known: Sequence[str] = ()) -> tuple[list[str] | None, list[list[str]]]:
    """Read CSV, TSV, the like with `;` or `|`, or a name and a label after a space.

    Args:
        content: the text of the file.
        known: names of columns in use, in lower case, which make a header where the content of the
            columns does not say.

    Returns:
        The header, None without one, and the rows, all as wide as the widest, ends filled with "".

    Raises:
        ValueError: it is empty, no CSV, its rows differ in width, or it is out of proportion.
    """
    _check_size(content)
    content = _without_preamble(content)
    lines = [line for line in text_file.lines(content) if line.strip()]
    if not lines:
        raise ValueError("the file is empty")
    rows = _rows(content, lines, known)
    if not rows:
        raise ValueError("the file is empty")
    header = rows.pop(0) if _has_header(rows, known) else None
    if not rows:
        raise ValueError("there is no row below the header")
    if header is not None and all(cell.isdecimal() for cell in header):
        header = None
    usual = Counter(map(len, rows)).most_common(1)[0][0]
    width = len(header) if header is not None else usual
    if not any(cell for row in rows for cell in row[width:]):
        rows = [row[:width] for row in rows]  # each ends in delimiters
    for number, row in enumerate(rows, 1):
        if len(row) > width:
            raise ValueError(
                f"row {number} has {len(row)} fields, not {width}: a field that holds the "
                "delimiter needs quotes"
            )
    return header, [row + [""] * (width - len(row)) for row in rows]


def _check_size(content: str) -> None:
    """Raise ValueError for what is no table of labels and would take far more memory than it is."""
    most = max(content.count(mark) for mark in (*_DELIMITERS, "\n", "\r"))
    if most > MOST_CELLS:
        raise ValueError(f"it has more than {MOST_CELLS:,} lines or cells")
    place = 0
    while len(content) - place > _LONGEST_LINE:
        piece = slice(place, place + _LONGEST_LINE)
        end = max(content.rfind(mark, piece.start, piece.stop) for mark in "\r\n")
        if end < place:
            raise ValueError(f"it has a line of more than {_LONGEST_LINE:,} characters")
        place = end + 1


def _without_preamble(content: str) -> str:
    """The text without comments above the table, and without the `sep=;` that Excel reads."""
    found = _PREAMBLE.match(content)
    return content[found.end() :] if found else content


def is_file(cell: str) -> bool:
    """Whether a cell names an image or a shard by its suffix, or is a URI."""
    end = cell.partition("?")[0] if "://" in cell else cell
    return "://" in cell or names.is_image(end) or names.shard_format(end) is not None


def is_label(cell: str) -> bool:
    """Whether a cell is a WordNet id or an integer."""
    return (as_integer(cell) is not None or bool(names.WNID.match(cell))) and not is_file(cell)


def mostly(cells: Sequence[str], kind: object) -> bool:
    """Whether nearly all cells that are not empty are of a kind, a function of one cell."""
    assert callable(kind)
    filled = [cell for cell in sampled(cells) if not is_unlabeled(cell)]
    return bool(filled) and sum(map(kind, filled)) >= _MAJORITY * len(filled)


def sampled(cells: Sequence[str]) -> Sequence[str]:
    """Some cells of a long column, spread over it."""
    return cells[:: max(1, len(cells) // _SAMPLE)]


def _rows(content: str, lines: list[str], known: Sequence[str]) -> list[list[str]]:
    sample = lines[:_SAMPLE]
    delimiters = [d for d in _DELIMITERS if any(d in line for line in sample)]
    best = max(delimiters, key=lambda d: _score(_split("\n".join(sample), d)), default=None)
    rows = _split(text_file.unix_lines(content), best) if best is not None else []
    words = [_split_label(line.strip(), known) for line in lines]
    if best is None:
        return words
    # a space parts a name and a label only where no delimiter does so for more of the lines
    parted = _score(words)[0]
    return words if parted > 0 and _score(rows)[0] < parted else rows


def _split(content: str, delimiter: str) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(content), delimiter=delimiter, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def _score(rows: Sequence[Sequence[str]]) -> tuple[float, float]:
    """How much rows look like a table: rows with a file and a label, and rows of one width."""
    if not rows:
        return 0, 0
    wide = [row for row in rows if len(row) > 1]
    both = sum(any(map(is_file, row)) and any(map(is_label, row)) for row in wide)
    width = Counter(map(len, wide)).most_common(1)
    return both / len(rows), (width[0][1] if width else 0) / len(rows)


def _split_label(line: str, known: Sequence[str]) -> list[str]:
    """A file and its label; the label is the last word, as file names may hold spaces."""
    words = line.rsplit(maxsplit=1)
    return words if len(words) == 2 and (is_label(words[1]) or words[1] in known) else [line]


def _has_header(rows: Sequence[Sequence[str]], known: Sequence[str]) -> bool:
    """Whether the first row names the columns."""
    first = rows[0]
    if any(is_file(cell) for cell in first):
        return False
    if len(first) > 1 and first == [str(place) for place in range(len(first))]:
        # pandas numbers the columns of a table that has no names for them
        columns = zip(*(row for row in rows[1:] if len(row) == len(first)), strict=True)
        return any(mostly(cells, is_file) for cells in columns)
    typed = False
    for place, cell in enumerate(first):
        below = [row[place] for row in rows[1:] if place < len(row)]
        if is_label(cell):
            return False
        typed |= bool(cell) and (mostly(below, is_label) or mostly(below, is_file))
    words = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in first]
    return typed or any(word in known for word in words)
