"""What sums over finely divided confidences show: calibration, and risk by coverage.

A first prediction's probability is sorted into `CELLS` by its log-odds, which divides what is near
1 as finely as what is near 0.5. Bins of equal mass and the risk-coverage curve follow from the
cells: they are mergeable, and stand in for the sorted list of all confidences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vggbatch.metrics.estimates.intervals import Z95
from vggbatch.metrics.labelset import IntArray

CELLS = 1024
_LOWEST, _HIGHEST = -8.0, 17.0
"""Log-odds of the outermost cells: 0.0003, and 1 less half the spacing of float32 there."""

CONFIDENCE_UNIT = 2.0**-32
"""Of the summed confidences. 2^31 rows stay below 2^63."""

MASS_BINS = 15
"""Bins of equal mass."""


def cells_of(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> IntArray:
    """[3, CELLS]: rows, right rows and summed confidence of each cell, by rising confidence."""
    with np.errstate(divide="ignore"):
        odds = np.log(confidence) - np.log1p(-confidence)
    place = (odds - _LOWEST) / (_HIGHEST - _LOWEST) * CELLS
    which = np.floor(place.clip(0, CELLS - 1)).astype(np.int64)
    cells = np.zeros((3, CELLS), np.int64)
    np.add.at(cells[0], which, 1)
    np.add.at(cells[1], which, right)
    np.add.at(cells[2], which, np.rint(confidence / CONFIDENCE_UNIT).astype(np.int64))
    return cells


def equal_mass(cells: IntArray) -> IntArray:
    """[3, bins]: the cells joined to `MASS_BINS` of about as many rows each, the empty left out."""
    n = cells[0]
    middle = n.cumsum() - n / 2
    which = np.minimum(MASS_BINS - 1, (middle * MASS_BINS / max(1, n.sum())).astype(np.int64))
    bins = np.zeros((3, MASS_BINS), np.int64)
    for row, values in zip(bins, cells, strict=True):
        np.add.at(row, which, values)
    return bins[:, bins[0] > 0]


def calibration_error(bins: IntArray) -> float:
    """The mean over the rows of their bin's |accuracy - confidence|."""
    n, right, confidence = bins
    return float(np.abs(right - confidence * CONFIDENCE_UNIT).sum() / n.sum())


def debiased_error(bins: IntArray) -> tuple[float, float, float] | None:
    """The root mean square calibration error without its bias, and its 95 % interval.

    A bin's squared gap is too large by the variance of its accuracy, which is taken off (Kumar,
    Liang and Ma 2019, Verified Uncertainty Calibration); that is why it can be 0 where the plain
    error of a perfectly calibrated network is not. The interval is normal in the square.

    Args:
        bins: [3, bins], as `equal_mass` gives them.

    Returns:
        Value and ends; None where no bin has two rows.
    """
    n, right, confidence = (row[bins[0] > 1].astype(np.float64) for row in bins)
    if not len(n):
        return None
    weight = n / n.sum()
    accuracy = right / n
    noise = accuracy * (1 - accuracy) / (n - 1)
    gap = (accuracy - confidence * CONFIDENCE_UNIT / n) ** 2 - noise
    square = float((weight * gap).sum())
    variance = 4 * np.maximum(gap, 0) * noise + 2 * noise**2
    half = Z95 * math.sqrt(float((weight**2 * variance).sum()))
    ends = (math.sqrt(max(0.0, square + shift)) for shift in (0.0, -half, half))
    value, low, high = ends
    return value, low, high


@dataclass(frozen=True)
class RiskCoverage:
    """How often the surest predictions are wrong, by what share of the images they are."""

    coverage: npt.NDArray[np.float64]
    """Rising, to 1."""
    risk: npt.NDArray[np.float64]
    """Share of wrong ones among the surest `coverage` of the images."""
    threshold: npt.NDArray[np.float64]
    """Mean confidence of the least sure among them."""
    area: float
    """AURC: the mean risk over all coverages (Geifman and El-Yaniv 2017)."""


def risk_coverage(cells: IntArray) -> RiskCoverage | None:
    """The curve, a point a cell that has rows; None without rows.

    Rows of one cell count as equally sure: their wrong ones are spread evenly.
    """
    kept = cells[:, ::-1][:, cells[0, ::-1] > 0].astype(np.float64)
    if not kept.shape[1]:
        return None
    n, right, confidence = kept
    wrong = n - right
    taken, mistakes = n.cumsum(), wrong.cumsum()
    before, had = taken - n, mistakes - wrong
    # the sum over j = 1..n of (had + j wrong / n) / (before + j)
    rate = wrong / n
    sums = (had - before * rate) * (_harmonic(taken) - _harmonic(before)) + wrong
    return RiskCoverage(
        coverage=taken / taken[-1],
        risk=mistakes / taken,
        threshold=confidence * CONFIDENCE_UNIT / n,
        area=float(sums.sum() / taken[-1]),
    )


def _harmonic(count: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of 1 / j for j = 1..count, less Euler's constant."""
    table = np.concatenate([[0.0], (1 / np.arange(1, 33)).cumsum()]) - np.euler_gamma
    large = np.maximum(count, 32.0)
    series = np.log(large) + 1 / (2 * large) - 1 / (12 * large**2) + 1 / (120 * large**4)
    small = table[np.minimum(count, 32).astype(np.int64)]
    found: npt.NDArray[np.float64] = np.where(count <= 32, small, series)
    return found
