"""Confidence intervals and the paired test: closed formulas on counts."""

from __future__ import annotations

import math

import numpy as np

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: two-sided 95 %."""


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927), as fractions.

    It stays inside 0..1 and is sound for few trials and for rates near 0 and 1, where the usual
    p +- 2 s is not.

    Args:
        successes: how many of the trials succeeded, 0..n.
        n: trials, above 0. Not whole when it is an effective sample size.
    """
    p = successes / n
    spread = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    centre = p + Z95**2 / (2 * n)
    scale = 1 + Z95**2 / n
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return low, high


def mean_interval(total: float, total_squares: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a mean by the central limit theorem, from sums over n > 0 values."""
    mean = total / n
    variance = max(0.0, total_squares / n - mean**2) * n / (n - 1) if n > 1 else 0.0
    half = Z95 * math.sqrt(variance / n)
    return mean - half, mean + half


def paired_difference(
    both: int, only_first: int, only_second: int, neither: int
) -> tuple[float, float]:
    """The 95 % interval of (rate of the first - rate of the second) on the same images.

    Newcombe (1998), Statistics in Medicine 17:2635, method 10: the two Wilson intervals joined
    through the correlation of the pairs. The counts are of images that both, one or none of the
    two runs classified correctly; their sum is above 0. Fractions.
    """
    n = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    p1, p2 = first / n, second / n
    low1, high1 = wilson(first, n)
    low2, high2 = wilson(second, n)
    margins = first * (n - first) * second * (n - second)
    excess = float(both * neither - only_first * only_second)
    if excess > 0:  # Newcombe's continuity correction
        excess = max(excess - n / 2, 0.0)
    phi = excess / math.sqrt(margins) if margins else 0.0
    below = _joined(p1 - low1, high2 - p2, phi)
    above = _joined(high1 - p1, p2 - low2, phi)
    return p1 - p2 - below, p1 - p2 + above


def _joined(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test: are the two error rates the same?

    Under the hypothesis that they are, each of the images on which the runs part is a fair coin.
    """
    n = only_first + only_second
    few = min(only_first, only_second)
    if 2 * few >= n:
        return 1.0
    steps = np.arange(few, dtype=np.float64)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log(n - steps) - np.log(steps + 1))])
    tail = float(np.exp(log_choose - n * math.log(2)).sum())
    return min(1.0, 2 * tail)
