"""Whether a drop is within a limit: against the formulas solved another way, and by simulation."""

import math

import numpy as np
import pytest

from vggbatch.metrics.estimates.intervals import Z95, wilson
from vggbatch.metrics.estimates.noninferiority import (
    excess,
    finest_limit,
    images_needed,
    least_images,
)


def by_search(b, c, n, limit):
    """The statistic with the likeliest chances found by trying them all."""
    lost_back = np.linspace(0, (1 - limit) / 2, 2_000_001)[1:-1]
    chances = b * np.log(lost_back + limit) + (n - b - c) * np.log1p(-2 * lost_back - limit)
    likeliest = lost_back[np.argmax(chances + c * np.log(lost_back))]
    return (b - c - n * limit) / math.sqrt(n * (2 * likeliest + limit * (1 - limit)))


@pytest.mark.parametrize(
    ("b", "c", "n", "limit"),
    [(5, 3, 200, 0.02), (40, 10, 300, 0.05), (1, 7, 500, 0.01), (12, 12, 100, 0.3)],
)
def test_the_statistic_is_of_the_likeliest_chances(b, c, n, limit):
    assert excess(b, c, n, limit) == pytest.approx(by_search(b, c, n, limit), abs=1e-3)


@pytest.mark.parametrize("limit", [0.001, 0.002, 0.005, 0.02, 0.1, 0.5])
def test_fewer_images_than_the_least_show_nothing_even_if_none_differs(limit):
    n = least_images(limit)
    assert excess(0, 0, n, limit) <= -Z95 < excess(0, 0, n - 1, limit)
    # the interval of 0 of n ends at the limit
    assert wilson(0, n)[1] <= limit < wilson(0, n - 1)[1]
    assert finest_limit(n) <= limit < finest_limit(n - 1)


def test_180_images_cannot_resolve_a_fifth_of_a_point():
    assert least_images(0.002) == 1917
    assert round(100 * finest_limit(180), 1) == 2.1


def test_all_that_can_be_lost_is_a_limit_that_any_image_shows():
    assert least_images(1.0) == 1
    assert excess(0, 0, 1, 1.0) == -math.inf


def test_a_large_drop_is_beyond():
    assert excess(60, 2, 400, 0.05) > Z95
    assert excess(2, 1, 400, 0.05) < -Z95
    assert abs(excess(12, 2, 400, 0.03)) < Z95


def test_as_many_as_needed_show_it_in_four_of_five_cases():
    n = images_needed(10, 10, 1000, 0.005)
    assert n == 6280  # (1.95996 + 0.84162)^2 * 0.02 / 0.005^2 = 6279.1
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [0.01, 0.01, 0.98], 2000)
    shown = np.mean([excess(int(b), int(c), n, 0.005) <= -Z95 for b, c, _ in draws])
    assert 0.77 < shown < 0.84
    assert images_needed(0, 0, 1000, 0.005) == least_images(0.005)
