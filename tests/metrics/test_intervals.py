from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from vggbatch.metrics.intervals import Z95, mcnemar, mean_interval, paired_difference, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (36_190, 50_000), (1, 1)])
def test_wilson_equals_scipy(k: int, n: int):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high))


def test_mean_interval_equals_numpy():
    values = np.random.default_rng(0).exponential(2, 500)
    half = norm.ppf(0.975) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = mean_interval(values.sum(), (values**2).sum(), len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert mean_interval(3.0, 9.0, 1) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # Newcombe (1998), table III, method 10.
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((0, 0, 0, 10), (-0.2775, 0.2775)),
    ],
)
def test_paired_difference_equals_newcombes_paper(cells, expected):
    assert paired_difference(*cells) == pytest.approx(expected, abs=5e-5)


def test_paired_difference_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    chances = [0.68, 0.05, 0.04, 0.23]
    draws = rng.multinomial(500, chances, size=2000)
    hits = [low <= 0.01 <= high for low, high in (paired_difference(*map(int, d)) for d in draws)]
    assert 0.935 < np.mean(hits) < 0.98


def test_paired_difference_of_large_samples_is_the_normal_one():
    n, gained, lost = 50_000, 420, 450
    low, high = paired_difference(36_000, gained, lost, n - 36_000 - gained - lost)
    d = (gained - lost) / n
    half = Z95 * np.sqrt(((gained + lost) / n - d**2) / n)
    assert (low, high) == pytest.approx((d - half, d + half), abs=2e-5)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (12, 2), (2, 12), (5, 5), (420, 450), (5200, 4900)])
def test_mcnemar_equals_the_binomial_test(b: int, c: int):
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)
