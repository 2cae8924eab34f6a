"""Labels from CSV and text: `filename index`, `filename wnid`, columns, LOC_val_solution.csv."""

from __future__ import annotations

from collections.abc import Sequence

from vggbatch.sources import columns
from vggbatch.sources.labels.lookup import Labels, class_index

_SOLUTION = ("predictionstring",)
"""LOC_val_solution.csv of the Kaggle edition: `n03995372 85 1 499 272`, a synset and a box."""


def from_text(text: str, synsets: Sequence[str]) -> Labels:
    """Labels from delimited text, with a header or without.

    Raises:
        ValueError: no file or label column, or a label that is no class.
    """
    table = columns.parse(text)
    return from_columns(
        table.column(columns.FILE),
        table.column((*columns.SYNSET, *_SOLUTION)),
        table.column(columns.INDEX),
        synsets,
    )


def from_columns(
    files: Sequence[str] | None,
    wnids: Sequence[str] | None,
    indices: Sequence[str] | None,
    synsets: Sequence[str],
) -> Labels:
    """Labels from columns of text; where both are given, synset and index must agree.

    Raises:
        ValueError: a column is missing, or a label is no class.
    """
    if files is None:
        raise ValueError(f"no column names the image; one of {', '.join(columns.FILE)} is needed")
    if wnids is None and indices is None:
        known = ", ".join(columns.SYNSET + columns.INDEX)
        raise ValueError(f"no column has the label; one of {known} is needed")
    by_synset = {synset: index for index, synset in enumerate(synsets)}
    names, values = [], []
    for row, file in enumerate(files):
        tokens = [column[row].split(" ", 1)[0] for column in (wnids, indices) if column is not None]
        found = [_class(token, by_synset, file) for token in tokens if token]
        if len(set(found)) > 1:
            raise ValueError(f"{file}: {' and '.join(tokens)} are different classes")
        if found and file:
            names.append(file)
            values.append(found[0])
    return Labels.of(names, values, synsets)


def _class(token: str, by_synset: dict[str, int], file: str) -> int:
    index = class_index(token, by_synset)
    if index is None:
        raise ValueError(f"{file}: {token!r} is no class of this model ({len(by_synset)} classes)")
    return index
