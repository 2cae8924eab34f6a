"""Labels from tables: `filename index`, `filename wnid`, CSV, Parquet, LOC_val_solution.csv."""

from __future__ import annotations

from collections.abc import Sequence

from vggbatch.sources import columns
from vggbatch.sources.labels.lookup import Labels, class_index

_SOLUTION = ("predictionstring",)
"""LOC_val_solution.csv of the Kaggle edition: `n03995372 85 1 499 272`, a synset and a box."""


def from_table(table: columns.Table, synsets: Sequence[str]) -> Labels:
    """Labels from a file column and a synset or index column; where both are, they must agree.

    Raises:
        ValueError: a column is missing, or a label is no class.
    """
    files = table.column(columns.FILE)
    wnids = table.column((*columns.SYNSET, *_SOLUTION))
    indices = table.column(columns.INDEX)
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
