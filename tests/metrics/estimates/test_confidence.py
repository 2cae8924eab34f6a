"""Calibration and risk by coverage from cells, beside numpy on the sorted confidences."""

from __future__ import annotations

import numpy as np
import pytest

from vggbatch.metrics.estimates.confidence import (
    MASS_BINS,
    calibration_error,
    cells_of,
    debiased_error,
    equal_mass,
    risk_coverage,
)


def made_up(n: int, seed: int = 0, bend: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    """Confidences as networks have them, too sure, and whether they are right."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(3, 0.7, n).clip(1e-3, 1).astype(np.float32).astype(float)
    return confidence, rng.random(n) < confidence**bend


def test_the_curve_equals_numpys():
    confidence, right = made_up(20_000)
    order = np.argsort(-confidence, kind="stable")
    risks = (~right[order]).cumsum() / np.arange(1, len(order) + 1)
    found = risk_coverage(cells_of(confidence, right))
    assert found.area == pytest.approx(risks.mean(), abs=2e-4)
    exact = risks[np.rint(found.coverage * len(order)).astype(int) - 1]
    np.testing.assert_allclose(found.risk, exact, atol=1e-12)
    assert found.coverage[-1] == 1
    assert (np.diff(found.threshold) < 0).all()


@pytest.mark.parametrize("n", [1, 2, 31, 33, 1000])
def test_equal_confidences_have_one_risk(n):
    right = np.arange(n) % 3 > 0
    found = risk_coverage(cells_of(np.full(n, 0.7), right))
    assert found.area == pytest.approx((~right).mean())
    assert found.risk.tolist() == [pytest.approx((~right).mean())]
    assert risk_coverage(cells_of(np.empty(0), np.empty(0, bool))) is None


def test_bins_of_equal_mass_equal_quantiles():
    confidence, right = made_up(30_000)
    bins = equal_mass(cells_of(confidence, right))
    assert bins.shape == (3, MASS_BINS)
    # as fine as the cells are
    assert np.abs(bins[0] / 2000 - 1).max() < 0.1
    parts = np.array_split(np.argsort(confidence), MASS_BINS)
    exact = sum(abs((right[p] - confidence[p]).sum()) for p in parts) / len(right)
    assert calibration_error(bins) == pytest.approx(exact, abs=5e-4)


def test_probabilities_of_one_share_a_bin():
    confidence = np.where(np.arange(1000) < 900, 1.0, np.linspace(0.3, 0.9, 1000))
    bins = equal_mass(cells_of(confidence, np.ones(1000, bool)))
    assert bins[0].max() == 900
    assert bins[0].sum() == 1000


def test_the_debiased_error_is_that_of_kumar():
    confidence, right = made_up(5000)
    bins = equal_mass(cells_of(confidence, right))
    n, hits, sure = bins[0], bins[1], bins[2] * 2.0**-32
    accuracy = hits / n
    squares = (accuracy - sure / n) ** 2 - accuracy * (1 - accuracy) / (n - 1)
    value, low, high = debiased_error(bins)
    assert value == pytest.approx(np.sqrt((n * squares).sum() / n.sum()))
    assert low < value < high


def test_a_calibrated_network_has_no_debiased_error():
    """Where the plain one is far from 0."""
    plain, squares = [], []
    for seed in range(300):
        bins = equal_mass(cells_of(*made_up(500, seed, bend=1.0)))
        plain.append(calibration_error(bins))
        value, low, _ = debiased_error(bins)
        squares.append(value)
        assert low <= value
    assert np.mean(plain) > 0.03
    assert np.median(squares) < 0.02


def test_too_few_rows_for_a_bias():
    assert debiased_error(equal_mass(cells_of(np.array([0.5]), np.array([True])))) is None
