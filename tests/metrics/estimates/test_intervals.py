from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, false_discovery_control, t

from vggbatch.metrics.estimates.intervals import (
    Z95,
    false_discovery,
    mcnemar,
    mcnemar_mid_p,
    mean_interval,
    mean_of_proportions,
    paired_difference,
    student,
    together,
    wilson,
    wilson_each,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (36_190, 50_000), (1, 1)])
def test_wilson_equals_scipy(k: int, n: int):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high))


def test_mean_interval_equals_numpy():
    for n in (2, 5, 20, 500):
        values = np.random.default_rng(0).exponential(2, n)
        half = t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
        low, high = mean_interval(values.sum(), (values**2).sum(), n)
        expected = max(0, values.mean() - half), values.mean() + half
        assert (low, high) == pytest.approx(expected, rel=1e-4)
    assert mean_interval(3.0, 9.0, 1) is None


def test_students_quantiles_equal_scipys():
    for degrees in (*range(1, 200), 1000, 50_000):
        assert student(degrees) == pytest.approx(t.ppf(0.975, degrees), abs=5e-4)
    assert student(0.3) == student(1)


def test_wilson_of_many_equals_wilson_of_each():
    rng = np.random.default_rng(0)
    n = rng.integers(0, 60, 200)
    successes = rng.binomial(n, rng.random(200))
    low, high = wilson_each(successes, n)
    for i, count in enumerate(n):
        if count:
            expected = wilson(int(successes[i]), int(count))
            assert (low[i], high[i]) == pytest.approx(expected)
        else:
            assert np.isnan(low[i])


def test_intervals_that_hold_together_are_those_of_chernoffs_bound():
    successes, n = np.array([0, 40, 50, 3, 0]), np.array([50, 50, 50, 4, 0])
    low, high = together(successes, n)
    assert (low[0], high[2]) == (0, 1)
    # none of 50: (1 - end)^50 is the share of a class, a half of it for each side
    assert (1 - high[0]) ** 50 == pytest.approx(0.05 / 4 / 2)
    alone = binomtest(40, 50).proportion_ci(1 - 0.05 / 4)
    assert low[1] < alone.low < alone.high < high[1] < alone.high + 0.02
    assert np.isnan(low[4])


def test_the_mean_of_alike_proportions_has_about_the_interval_of_their_pool():
    n = np.full(1000, 50)
    successes = np.random.default_rng(0).binomial(n, 0.72)
    pooled = wilson(int(successes.sum()), int(n.sum()))
    assert mean_of_proportions(successes, n) == pytest.approx(pooled, abs=3e-4)
    assert mean_of_proportions(n, n)[1] == 1.0
    assert mean_of_proportions(0 * n, n)[0] == 0.0


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
    observed = binom.pmf(min(b, c), b + c, 0.5) if b + c else 0.0
    middle = 1 - observed / 2 if b == c else expected - observed
    assert mcnemar_mid_p(b, c) == pytest.approx(middle, rel=1e-9)


def test_correction_for_many_tests_equals_scipys():
    for p in ([0.001, 0.2, 0.04, 0.5, 0.03], [0.5], [1.0, 1.0], [0.01, 0.01, 0.02]):
        assert false_discovery(p) == pytest.approx(false_discovery_control(p).tolist())
    assert false_discovery([]) == []
