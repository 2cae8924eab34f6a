import hashlib

import numpy as np

from vggbatch.models.synthesis.weights import SeededWeights


def test_filters_have_zero_sum_and_the_asked_deviation():
    filters = SeededWeights(3).filters(2, (64, 32, 3, 3), 1.5)
    rows = filters.reshape(64, -1).astype(np.float64)
    assert np.abs(rows.sum(axis=1)).max() < 1e-4 * np.abs(rows).sum(axis=1).min()
    np.testing.assert_allclose(rows.std(), 1.5 / np.sqrt(32 * 9), rtol=0.02)


def test_filters_match_a_plain_loop_over_the_random_bits():
    found = SeededWeights(7).filters(1, (2, 5), 2.0)
    stream = np.random.PCG64(np.random.SeedSequence([7, 1, 0]))
    scale = np.float32(2.0 / np.sqrt(5) / (65536 / np.sqrt(12)))
    for row in found:
        values = []
        for _ in range(2):
            word = int(stream.random_raw())
            for shift in (0, 16, 32, 48):
                part = word >> shift & 0xFFFF
                values.append(part - 65536 if part >= 32768 else part)
        mean = np.float32(sum(values[:5]) / 5)
        expected = [(np.float32(v) - mean) * scale for v in values[:5]]
        assert row.tolist() == [float(e) for e in expected]


def test_uniform_stays_inside():
    values = SeededWeights(0).uniform(0, 1, 10_000, 0.5, 2.0)
    assert values.min() >= 0.5
    assert values.max() < 2.0
    assert abs(values.mean() - 1.25) < 0.02


def test_weights_are_pinned():
    """A change of these bits needs a new GENERATOR_VERSION."""
    filters = SeededWeights(0).filters(0, (64, 3, 3, 3), 2.3)
    digest = hashlib.sha256(filters.astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "386687522de71686"
