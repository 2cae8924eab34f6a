"""Whether one network is at most a limit less accurate than another, and how many images show it.

Both are run on the same images. What counts is on how many only one of the two is right; the
images on which both are right or both are wrong say nothing of the difference.
"""

from __future__ import annotations

import math

from vggbatch.metrics.estimates.intervals import Z95

POWER = 0.8416212335729143
"""The 80 % quantile of the normal distribution."""


def excess(only_first: int, only_second: int, n: int, limit: float) -> float:
    """How far (rate of the first - rate of the second) lies above a limit, in standard errors.

    The score statistic of Nam (1997), Biometrics 53:1422, and Tango (1998), Statistics in Medicine
    17:891: the standard error is the one that the likeliest chances with exactly this difference
    have. It holds its level where hardly any image differs, which Newcombe's interval does not: of
    1,000 images, if the second network is wrong on 0.6 % more and right on no other, the upper end
    of that interval lies below the truth in 6 % of cases instead of 2.5.

    Args:
        only_first: images on which the first alone is right.
        only_second: images on which the second alone is right.
        n: images, above 0.
        limit: of the difference, above 0, at most 1.

    Returns:
        At most -1.96: the difference is shown to be less than the limit. At least 1.96: it is shown
        to be more. Where it is exactly the limit, the first happens in 1.7 to 2.3 % of cases, the
        second in 2.6 to 5.3 % (most where hardly an image differs; simulated).
    """
    b, c = only_first, only_second
    linear = (2 * n - b + c) * limit - b - c
    constant = -c * limit * (1 - limit)
    lost_back = (math.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * lost_back + limit * (1 - limit))
    above = b - c - n * limit
    return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above)


def least_images(limit: float) -> int:
    """The images without which no result can show that a difference is less than a limit.

    `excess` for no image on which the networks part: sqrt(n limit / (1 - limit)) is at least 1.96
    where n is at least 1.96^2 (1 - limit) / limit. This is where Wilson's interval of 0 of n ends
    at the limit, the score version of the rule of three (Hanley and Lippman-Hand 1983, JAMA
    249:1743).

    Args:
        limit: above 0, at most 1.
    """
    return max(1, math.ceil(Z95**2 * (1 - limit) / limit - 1e-9))


def finest_limit(n: int) -> float:
    """The smallest limit for which n images may be enough: `least_images` solved for the limit."""
    return Z95**2 / (n + Z95**2)


def images_needed(only_first: int, only_second: int, n: int, limit: float) -> int:
    """The images that show a difference to be less than a limit in four of five cases.

    If the two are right equally often and part on as large a share d of the images as these did:
    (1.96 + 0.84)^2 d / limit^2, Connor's formula (1987, Biometrics 43:207) with the limit as the
    difference that is to be excluded; never fewer than `least_images`.

    Args:
        only_first: images of n on which the first alone was right.
        only_second: images of n on which the second alone was right.
        n: images, above 0.
        limit: above 0, at most 1.
    """
    share = (only_first + only_second) / n
    wanted = math.ceil((Z95 + POWER) ** 2 * share / limit**2)
    return max(least_images(limit), wanted)
