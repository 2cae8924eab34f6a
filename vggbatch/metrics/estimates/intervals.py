"""Confidence intervals and paired tests: closed formulas on counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: two-sided 95 %."""

_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
"""The 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom."""


def student(degrees: float) -> float:
    """The 97.5 % quantile of Student's t, within 0.0005; a table, then Fisher's expansion.

    Between whole numbers of degrees the next lower one counts, which is the wider interval.
    """
    if degrees < len(_STUDENT) + 1:
        return _STUDENT[max(0, int(degrees) - 1)]
    z = Z95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927), as fractions.

    It stays inside 0..1 and is sound for few trials and for rates near 0 and 1, where the usual
    p +- 2 s is not.

    Args:
        successes: how many of the trials succeeded, 0..n.
        n: trials, above 0. Not whole when it is an effective sample size.
        z: quantile of the level; by default that of 95 %.
    """
    p = successes / n
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    center = p + z**2 / (2 * n)
    scale = 1 + z**2 / n
    low = 0.0 if successes == 0 else (center - spread) / scale
    high = 1.0 if successes == n else (center + spread) / scale
    return low, high


def wilson_each(
    successes: npt.NDArray[np.int64], n: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """`wilson` of many proportions at a time, at 95 %; NaN where n is 0."""
    z = Z95
    with np.errstate(invalid="ignore", divide="ignore"):
        p = successes / n
        spread = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        center = p + z**2 / (2 * n)
        scale = 1 + z**2 / n
        low = np.where(successes == 0, 0.0, (center - spread) / scale)
        high = np.where(successes == n, 1.0, (center + spread) / scale)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def together(
    successes: npt.NDArray[np.int64], n: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Intervals of many proportions that all hold at once in at least 95 % of cases.

    Each has its share of the 5 % (Bonferroni). Wilson's intervals are too narrow so far out, so
    the ends are where Chernoff's bound on the tail of the binomial distribution comes down to that
    share: n KL(successes / n, end) = ln(2 / share). NaN where n is 0.
    """
    present = n > 0
    limit = math.log(2 * max(1, int(present.sum())) / 0.05)
    p = successes[present] / n[present]
    ends = []
    for far in (0.0, 1.0):
        near, away = p, np.full(len(p), far)
        for _ in range(50):  # halves the distance to the end each time
            middle = (near + away) / 2
            beyond = n[present] * _divergence(p, middle) > limit
            near, away = np.where(beyond, near, middle), np.where(beyond, middle, away)
        end = np.full(len(n), np.nan)
        end[present] = away
        ends.append(end)
    return ends[0], ends[1]


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Kullback and Leibler's, of two coins."""
    with np.errstate(divide="ignore", invalid="ignore"):
        head = np.where(p > 0, p * np.log(p / q), 0.0)
        tail = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
    found: npt.NDArray[np.float64] = head + tail
    return found


def mean_interval(total: float, total_squares: float, n: int) -> tuple[float, float] | None:
    """The 95 % interval of the mean of values that are not negative, by Student's t.

    Args:
        total: the sum of the values.
        total_squares: the sum of their squares.
        n: how many there are.

    Returns:
        Its ends, the lower one at least 0; None for a single value.
    """
    if n < 2:
        return None
    mean = total / n
    variance = max(0.0, total_squares / n - mean**2) * n / (n - 1)
    half = student(n - 1) * math.sqrt(variance / n)
    return max(0.0, mean - half), mean + half


def mean_of_proportions(
    successes: npt.NDArray[np.int64], n: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """The 95 % interval of the mean of several proportions, each with its own trials.

    The mean's variance is the sum of theirs over the square of their number. A variance that few
    trials give is often 0, so it is drawn to that of all proportions by the weight of two trials;
    "of all" weighs each by how much it adds to the variance, so that rare classes are drawn to
    rare ones. The interval is Wilson's at the number of trials that have this variance, for it
    stays inside 0..1.

    Args:
        successes: of each.
        n: trials of each, above 0.
    """
    share = successes / n
    mean = float(share.mean())
    common = max(mean * (1 - mean), _spread(float(np.average(share, weights=1 / n))))
    own = share * (1 - share) * n  # n - 1 times the unbiased variance of one trial
    each = (own + 2 * common) / (n * (n + 1))
    variance = float(each.sum()) / len(n) ** 2
    if variance <= 0:  # all right, or all wrong
        effective = len(n) ** 2 / float((1 / n).sum())
        return wilson(mean * effective, effective)
    effective = mean * (1 - mean) / variance
    # the variance itself rests on few trials (Welch and Satterthwaite)
    degrees = float(each.sum()) ** 2 / float((each**2 / n).sum())
    return wilson(mean * effective, effective, student(degrees))


def _spread(share: float) -> float:
    return share * (1 - share)


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
    The test is conservative: at 0.05 it rejects a true hypothesis in 2 to 4 % of cases.
    """
    n = only_first + only_second
    few = min(only_first, only_second)
    if 2 * few >= n:
        return 1.0
    return min(1.0, 2 * float(np.exp(_coin_tosses(n, few)).sum()))


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """The same with the mid-p value (Lancaster 1961), which is hardly conservative.

    What was observed counts a half: 2 P(fewer) + P(as many), for the smaller of the counts.
    Fagerland, Lydersen and Laake (2013), BMC Medical Research Methodology 13:91, recommend it.
    """
    n = only_first + only_second
    few = min(only_first, only_second)
    if 2 * few >= n:
        tie = math.exp(_coin_tosses(n, few)[-1]) if n else 1.0
        return 1.0 - tie / 2 if n else 1.0
    chances = np.exp(_coin_tosses(n, few))
    return float(2 * chances.sum() - chances[-1])


def _coin_tosses(n: int, most: int) -> npt.NDArray[np.float64]:
    """The logarithms of the chances of 0 to `most` heads in n tosses."""
    steps = np.arange(most, dtype=np.float64)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log(n - steps) - np.log(steps + 1))])
    chances: npt.NDArray[np.float64] = log_choose - n * math.log(2)
    return chances


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """P-values of many tests, corrected for how many they are (Benjamini and Hochberg 1995).

    Of those at most 0.05, at most 5 % are expected to be chance.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)[::-1]
    ranks = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum.accumulate(np.minimum(1.0, p[order] * len(p) / ranks))
    found: list[float] = corrected.tolist()
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of many tests, corrected for how many they are (Holm 1979).

    Of all of those at most 0.05, in at most 5 % of cases any one is chance.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    corrected = np.empty(len(p))
    weighted = p[order] * np.arange(len(p), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(weighted))
    found: list[float] = corrected.tolist()
    return found
