"""Mergeable sums: everything the metrics need, from any part of the rows.

All sums are whole numbers (probabilities and likelihoods in small fixed units), so merging is
exactly associative and commutative: whatever the split of the rows over files, tasks and
machines, the metrics are the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.metrics.audit import Audit
from vggbatch.metrics.estimates.confidence import CELLS, CONFIDENCE_UNIT, cells_of
from vggbatch.metrics.labelset import Accepted, IntArray
from vggbatch.metrics.rows import Rows
from vggbatch.output.schema import TOP_K

BINS = 15
"""Reliability bins of equal width (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

_EDGES = np.linspace(0, 1, BINS + 1)


@dataclass
class Pairs:
    """Counts of (label, predicted) pairs, sparse: most of the million cells are empty."""

    key: IntArray
    """label * classes + predicted, rising."""
    count: IntArray

    @staticmethod
    def empty() -> Pairs:
        """No pairs."""
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64))

    @staticmethod
    def of(keys: IntArray) -> Pairs:
        """Count keys."""
        key, count = np.unique(keys, return_counts=True)
        return Pairs(key, count.astype(np.int64))

    def __add__(self, other: Pairs) -> Pairs:
        key, where = np.unique(np.concatenate([self.key, other.key]), return_inverse=True)
        count = np.zeros(len(key), np.int64)
        np.add.at(count, where, np.concatenate([self.count, other.count]))
        return Pairs(key, count)


@dataclass
class ClassCounts:
    """Images counted by class, each array [classes]. An image counts for every class it accepts."""

    n: IntArray
    """Scored images that accept the class."""
    failed: IntArray
    """Images that accept the class and could not be scored."""
    top1: IntArray
    """Of `n`, those whose first prediction is right (for whichever accepted class)."""
    top5: IntArray
    """Of `n`, those with a right class among the first five."""
    predicted: IntArray
    """Scored images with a label whose first prediction is the class."""
    hits: IntArray
    """Of `predicted`, those that accept the class."""

    @staticmethod
    def zeros(classes: int) -> ClassCounts:
        """No images."""
        return ClassCounts(*(np.zeros(classes, np.int64) for _ in fields(ClassCounts)))

    def __add__(self, other: ClassCounts) -> ClassCounts:
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return ClassCounts(*sums)


@dataclass
class Partial:
    """Sums over some of the rows, for one label set.

    Merge with `+`. Labeled means with at least one accepted class; scored means without error.
    """

    classes: ClassCounts
    confusions: Pairs = field(default_factory=Pairs.empty)
    bins: IntArray = field(default_factory=lambda: np.zeros((3, BINS), np.int64))
    """Labeled scored rows by confidence: how many, how many right, and the sum of their
    confidences in `CONFIDENCE_UNIT`."""
    cells: IntArray = field(default_factory=lambda: np.zeros((3, CELLS), np.int64))
    """The same finely divided; see confidence.py."""
    gaps: IntArray | int = 0
    """[classes, BINS] of the labeled scored rows that list a class among their five, by its
    probability: the sum of (1 where it is the label, else 0) - probability, in `CONFIDENCE_UNIT`.
    0 where there is none."""
    audit: Audit = field(default_factory=Audit)
    likelihood: LabelLikelihood = field(default_factory=LabelLikelihood)
    """Exact, over the rows where the probability of the label is known."""
    outside: LabelLikelihood = field(default_factory=LabelLikelihood)
    """Lower bounds, over the rows whose label is not among the five and otherwise unknown."""
    rows: int = 0
    errors: int = 0
    labeled: int = 0
    """Labeled and scored."""
    labeled_errors: int = 0
    several: int = 0
    """Labeled rows that accept more than one class, for which no likelihood is defined."""
    right: IntArray = field(default_factory=lambda: np.zeros(TOP_K, np.int64))
    """Labeled scored rows with a right class among the first 1, 2, ... 5."""
    first_tied: int = 0
    """Scored rows, labeled or not, whose first two probabilities are the same."""
    certain_top1: int = 0
    """Of the labeled, those whose first prediction is right however ties are broken."""
    possible_top1: int = 0
    """Of the labeled, those whose first prediction is right if ties are broken in its favor."""
    open_top1: int = 0
    """Labeled rows where no class of the label set's subset is among the five, so that its
    first prediction is unknown. None without a subset."""
    open_top5: int = 0
    """Labeled rows where the rank of the label within the subset may or may not be below 5."""

    @property
    def top1(self) -> int:
        """Labeled scored rows whose first prediction is right."""
        return int(self.right[0])

    @property
    def top5(self) -> int:
        """Labeled scored rows with a right class among the first five."""
        return int(self.right[-1])

    def __add__(self, other: Partial) -> Partial:
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return Partial(*sums)


def count(
    rows: Rows,
    accepted: Accepted,
    *,
    classes: int,
    subset: tuple[int, ...] | None = None,
) -> Partial:
    """The sums over a batch of rows.

    Args:
        rows: predictions.
        accepted: their labels; every class below `classes`.
        classes: outputs of the network.
        subset: the only classes that compete, or None for all (see `LabelSet.classes`).
    """
    if subset is not None:
        accepted = accepted.keep(np.isin(accepted.cls, subset))
    failed = accepted.keep(~rows.scored[accepted.row])
    accepted = accepted.keep(rows.scored[accepted.row])
    row, cls = accepted.row, accepted.cls
    labeled = np.zeros(len(rows), bool)
    labeled[row] = True

    competing = rows.competing(subset)
    rank = best_rank(rows, accepted, subset)
    right1, right5 = rank == 0, rank < TOP_K
    places = np.arange(len(rows)), competing.argmax(axis=1)
    first = np.where(competing.any(axis=1), rows.index[places], -1)
    wrong = ~right1[row] & (first[row] >= 0)

    def tally(values: npt.NDArray[np.integer]) -> IntArray:
        return np.bincount(values, minlength=classes).astype(np.int64)

    result = Partial(
        classes=ClassCounts(
            n=tally(cls),
            failed=tally(failed.cls),
            top1=tally(cls[right1[row]]),
            top5=tally(cls[right5[row]]),
            predicted=tally(first[labeled & (first >= 0)]),
            hits=tally(cls[cls == first[row]]),
        ),
        confusions=Pairs.of(cls[wrong] * classes + first[row[wrong]]),
        rows=len(rows),
        errors=int((~rows.scored).sum()),
        labeled=int(labeled.sum()),
        labeled_errors=len(np.unique(failed.row)),
        several=int((np.bincount(row) > 1).sum()),
        right=np.array([(rank < places).sum() for places in range(1, TOP_K + 1)], np.int64),
    )
    if subset is None:
        result.bins = reliability_bins(rows.probability[labeled, 0], right1[labeled])
        confidence = rows.probability[labeled, 0].astype(np.float64)
        result.cells = cells_of(confidence, right1[labeled])
        right = _right_places(rows, row, cls)
        result.gaps = _gaps(rows, right, labeled, classes)
        result.first_tied = int((rows.probability[:, 0] == rows.probability[:, 1]).sum())
        result.certain_top1, result.possible_top1 = _top1_with_ties(rows, right, labeled)
        result.likelihood, result.outside = _likelihood(rows, row, cls)
    else:
        seen = competing.sum(axis=1)
        result.open_top1 = int((labeled & ~right5 & (seen == 0)).sum())
        result.open_top5 = int((labeled & ~right5 & (seen < TOP_K)).sum())
    return result


def best_rank(rows: Rows, accepted: Accepted, subset: tuple[int, ...] | None) -> IntArray:
    """For each image the best place, 0 to 4, of an accepted class among those that compete.

    5 where there is none.
    """
    competing = rows.competing(subset)
    match = (rows.index[accepted.row] == accepted.cls[:, None]) & competing[accepted.row]
    place = np.cumsum(competing, axis=1) - 1
    rank = np.where(match.any(axis=1), place[accepted.row, match.argmax(axis=1)], TOP_K)
    best = np.full(len(rows), TOP_K, np.int64)
    np.minimum.at(best, accepted.row, rank)
    return best


def reliability_bins(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> IntArray:
    """Rows, right rows and confidence by bin; a bin holds its upper edge and not its lower."""
    exact = confidence.astype(np.float64)
    which = np.searchsorted(_EDGES[1:-1], exact, side="left")
    bins = np.zeros((3, BINS), np.int64)
    np.add.at(bins[0], which, 1)
    np.add.at(bins[1], which, right)
    np.add.at(bins[2], which, np.rint(exact / CONFIDENCE_UNIT).astype(np.int64))
    return bins


def _likelihood(
    rows: Rows, row: IntArray, cls: IntArray
) -> tuple[LabelLikelihood, LabelLikelihood]:
    """Exact sums for labels among the five, lower bounds for the rest."""
    # The smallest positive float32: a probability that underflowed has a finite likelihood.
    probability = np.maximum(rows.probability[row].astype(np.float64), 2.0**-149)
    match = rows.index[row] == cls[:, None]
    inside = match.any(axis=1)
    known = probability[inside, match[inside].argmax(axis=1)]
    # A class outside has at most what the five leave over (give or take float32 rounding), and
    # at most what the fifth has.
    rest = np.maximum(0.0, 1 - probability[~inside].sum(axis=1)) + 2.0**-20
    most = np.minimum(rest, probability[~inside, -1])
    return LabelLikelihood.of(-np.log(known)), LabelLikelihood.of(-np.log(most))


def _right_places(rows: Rows, row: IntArray, cls: IntArray) -> npt.NDArray[np.bool_]:
    """[N, 5]: which of the predictions are an accepted class."""
    right = np.zeros(rows.index.shape, bool)
    np.logical_or.at(right, row, rows.index[row] == cls[:, None])
    return right


def _gaps(
    rows: Rows, right: npt.NDArray[np.bool_], labeled: npt.NDArray[np.bool_], classes: int
) -> IntArray:
    """`Partial.gaps`."""
    listed = labeled[:, None] & (rows.index >= 0)
    probability = rows.probability[listed].astype(np.float64)
    gap = np.rint((right[listed] - probability) / CONFIDENCE_UNIT).astype(np.int64)
    which = np.searchsorted(_EDGES[1:-1], probability, side="left")
    gaps = np.zeros((classes, BINS), np.int64)
    np.add.at(gaps, (rows.index[listed], which), gap)
    return gaps


def _top1_with_ties(
    rows: Rows, right: npt.NDArray[np.bool_], labeled: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """Rows whose first prediction is right however ties of the first place are broken, or at best.

    Where all five tie there may be more that do, and a label among them is possible.
    """
    tied = rows.probability == rows.probability[:, :1]
    endless = tied.all(axis=1)
    certain = labeled & (right | ~tied).all(axis=1) & ~endless
    possible = labeled & ((tied & right).any(axis=1) | endless)
    return int(certain.sum()), int(possible.sum())
