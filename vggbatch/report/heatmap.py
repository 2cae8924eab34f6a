"""How kinds of classes are taken for each other, as a table whose cells have colors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vggbatch.errors import UsageError
from vggbatch.metrics.labelset import IntArray
from vggbatch.metrics.superclasses import superclasses

_KINDS = (
    "dog", "feline", "rodent", "ungulate", "primate", "mammal",
    "bird", "snake", "reptile", "fish", "insect", "invertebrate", "animal",
    "vehicle", "musical instrument", "electronic equipment", "clothing", "furniture",
    "container", "building", "structure", "device", "artifact",
    "food", "produce", "fungus", "geological formation", "person",
)  # fmt: skip
"""In this order a class is of the first that has it, so that each is of one."""
_REMAINDERS = {
    "mammal": "other mammals",
    "reptile": "other reptiles",
    "invertebrate": "other invertebrates",
    "animal": "other animals",
    "structure": "other structures",
    "device": "other devices",
    "artifact": "other artifacts",
}
_REST = "anything else"
_FEWEST = 100
"""Labeled images for which a map is drawn: of fewer most cells are empty."""
_FEWEST_KINDS = 2


@dataclass(frozen=True)
class HeatMap:
    """Images by the kind of their label and the kind of their first prediction."""

    labels: list[str]
    predicted: list[str]
    counts: list[list[int]]
    """[label][predicted]"""
    images: list[int]
    """Of each label's kind, the failed ones too."""

    def share(self, row: int, column: int) -> float:
        """Percent of the images of a label's kind."""
        return 100 * self.counts[row][column] / self.images[row]


def heat_map(
    per_class: pa.Table | None, confusions: pa.Table | None, kinds: pa.Table | None
) -> HeatMap | None:
    """The map of a run, from its metrics tables.

    Args:
        per_class: metrics/per_class.
        confusions: metrics/confusions.
        kinds: metrics/superclasses.

    Returns:
        None for few images, labels of several classes, or classes outside of WordNet's list.

    Raises:
        UsageError: a confusion is of a class that there is not.
    """
    if per_class is None or confusions is None or kinds is None or not kinds.num_rows:
        return None
    several = kinds["same_kind"].null_count == kinds.num_rows
    images = np.asarray(per_class["n"], np.int64)
    if several or images.sum() < _FEWEST:
        return None
    names, kind = _kinds_of(per_class["wnid"].to_pylist())
    counts = np.zeros((len(names), len(names)), np.int64)
    right = np.rint(per_class["top1"].fill_null(0).to_numpy() * images / 100).astype(np.int64)
    np.add.at(counts, (kind, kind), right)
    label, seen, count = (
        np.asarray(confusions[name], np.int64) for name in ("label", "predicted", "count")
    )
    if len(label) and not (
        0 <= min(label.min(), seen.min()) <= max(label.max(), seen.max()) < len(kind)
    ):
        raise UsageError("a confusion is of a class that there is not: no run has written it")
    np.add.at(counts, (kind[label], kind[seen]), count)
    totals = np.bincount(kind, weights=images, minlength=len(names)).astype(np.int64)
    rows, columns = np.flatnonzero(totals), np.flatnonzero(counts.any(axis=0) | (totals > 0))
    if len(rows) < _FEWEST_KINDS:
        return None
    return HeatMap(
        labels=[names[i] for i in rows],
        predicted=[names[i] for i in columns],
        counts=counts[np.ix_(rows, columns)].tolist(),
        images=totals[rows].tolist(),
    )


def _kinds_of(wnids: list[str]) -> tuple[list[str], IntArray]:
    """The names of the kinds, and the number of the kind of each class."""
    members = {name: ids for (_, name), ids in superclasses().items()}
    names = [name for name in _KINDS if name in members]
    kind = np.full(len(wnids), len(names), np.int64)
    for number in reversed(range(len(names))):
        kind[[wnid in members[names[number]] for wnid in wnids]] = number
    return [_REMAINDERS.get(name, name) for name in names] + [_REST], kind
