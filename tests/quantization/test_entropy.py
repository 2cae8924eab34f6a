"""The limit of least divergence, against a plain loop and on shapes whose answer is known."""

import math

import numpy as np
import pytest

from vggbatch.quantization.entropy import BINS, least_divergence


def histogram(values):
    limit = np.abs(values).max()
    return np.histogram(values, BINS, (-limit, limit))[0], limit


def plainly(counts, levels):
    """The same with a loop for every bin."""
    half = len(counts) // 2
    sizes = [float(counts[half + k] + counts[half - 1 - k]) for k in range(half)]
    sizes[0] = sizes[1]
    best = None
    for end in range(half, levels - 1, -2):
        q = []
        for level in range(levels):
            mine = sizes[level * end // levels : (level + 1) * end // levels]
            full = [size for size in mine if size > 0]
            q += [sum(full) / len(full) if size > 0 else None for size in mine]
        p = sizes[:end]
        p[-1] += sum(sizes[end:])
        total, mass = sum(p), sum(value for value in q if value is not None)
        lost = sum(
            a / total * math.log(a / total / ((1e-4 if b is None else b) / mass))
            for a, b in zip(p, q, strict=True)
            if a > 0
        )
        if best is None or lost < best[0]:
            best = lost, end / half
    return best[1]


@pytest.mark.parametrize("signed", [False, True])
def test_it_is_what_a_plain_loop_finds(signed):
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(0, 1, 20_000), [9.0, -9.0 if signed else 9.0])
    if not signed:
        values = np.maximum(values, 0)
    counts, _ = histogram(values)
    few = counts.reshape(-1, 4).sum(1)  # a quarter of the bins: the loop is slow
    found = least_divergence(few, signed=signed)
    assert found == plainly(few, 127 if signed else 255)
    assert 0 < found <= 1


def test_what_has_no_tail_is_not_cut():
    values = np.random.default_rng(1).uniform(0, 1, 1_000_000)
    assert least_divergence(histogram(values)[0], signed=False) > 0.99


def test_zeros_do_not_matter():
    rng = np.random.default_rng(2)
    values = np.abs(rng.normal(0, 1, 200_000))
    counts, _ = histogram(np.append(values, 12.0))
    with_zeros = counts.copy()
    with_zeros[len(counts) // 2] += 10_000_000
    found = least_divergence(counts, signed=False)
    assert least_divergence(with_zeros, signed=False) == found


def test_a_value_far_out_is_cut_off_and_the_bell_is_not():
    values = np.maximum(np.random.default_rng(3).normal(0, 1, 1_000_000), 0)
    counts, limit = histogram(np.append(values, 30.0))
    cut = limit * least_divergence(counts, signed=False)
    assert values.max() * 0.7 < cut < 15


def test_one_that_is_always_zero_stays():
    counts = np.zeros(BINS, np.int64)
    counts[BINS // 2] = 100
    assert least_divergence(counts, signed=False) == 1
