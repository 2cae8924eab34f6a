"""Tables with a column for each class, of which one has a 1 in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_DIGITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_ROWS = 1000
"""Rows that decide."""


def check_no_one_hot(chosen: str, columns: Mapping[str, Sequence[str]], classes: int) -> None:
    """Make sure that a column of integers is not one of several that say a class together.

    Two that are each other's opposite are a class and its name's opposite where the network has
    two classes.

    Args:
        chosen: the column that is taken for the classes.
        columns: all columns but that of the files.
        classes: of the network.

    Raises:
        ValueError: it is one of them.
    """
    digits = {
        name: [_DIGITS.get(cell.strip(), 2) for cell in cells[:_ROWS]]
        for name, cells in columns.items()
    }
    binary = {name: found for name, found in digits.items() if max(found, default=2) <= 1}
    rows = list(zip(*binary.values(), strict=True))
    if chosen not in binary or len(rows) < 2 or any(sum(row) != 1 for row in rows):
        return
    if len(binary) > 2 or (len(binary) == 2 and classes > 2):
        raise ValueError(
            f"column {chosen!r} is one of {len(binary)} of which each row has a 1 in one, so they "
            "seem to say the class together: write one column of classes, or name the right one "
            "with columns.label"
        )
