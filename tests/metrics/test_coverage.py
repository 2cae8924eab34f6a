"""How often every interval that is shown holds the truth, and how often a right run is flagged."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.estimates.test_confidence import made_up
from vggbatch.metrics.estimates.confidence import cells_of, debiased_error, equal_mass
from vggbatch.metrics.estimates.intervals import (
    Z95,
    mcnemar,
    mcnemar_mid_p,
    mean_interval,
    mean_of_proportions,
    paired_difference,
    together,
    wilson,
    wilson_each,
)
from vggbatch.metrics.estimates.noninferiority import excess
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.robustness import BASE_LINES, effective_robustness
from vggbatch.metrics.summary import Metric

pytestmark = pytest.mark.slow

RUNS = 2000
RNG = np.random.default_rng(0)


def covered(intervals, truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize(("n", "p"), [(20, 0.7), (200, 0.9), (1000, 0.72), (50_000, 0.91)])
def test_accuracies(n, p):
    """top-k, bounds, error rate, agreement, label audit: Wilson's."""
    found = [wilson(int(k), n) for k in RNG.binomial(n, p, RUNS)]
    assert 0.93 < covered(found, p) < 0.985


@pytest.mark.parametrize(("n", "least"), [(20, 0.9), (100, 0.92), (1000, 0.935), (10_000, 0.94)])
def test_likelihood_and_brier(n, least):
    """Both are skewed, which Student's t cannot know: at 20 images it covers 92 %."""
    confidence, right = made_up(200_000)
    nll = -np.log(np.where(right, confidence, (1 - confidence + 1e-4) / 5))
    brier = np.where(right, (1 - confidence) ** 2 * 1.2, confidence**2 + 0.3)
    for values in (nll, brier):
        draws = RNG.choice(values, (RUNS, n))
        found = [mean_interval(d.sum(), (d**2).sum(), n) for d in draws]
        assert least < covered(found, values.mean()) < 0.97


@pytest.mark.parametrize(
    ("sizes", "accuracies"),
    [
        ([50] * 1000, RNG.beta(5, 2, 1000)),
        ([2] * 10 + [50] * 90, [0.3] * 10 + [0.9] * 90),
        ([1] * 50 + [100] * 50, [0.2] * 50 + [0.95] * 50),
        ([3] * 2 + [500] * 8, [0.3] * 2 + [0.9] * 8),
        ([2] * 10 + [50] * 90, [0.95] * 10 + [0.6] * 90),
        ([1] * 200, RNG.beta(5, 2, 200)),
        ([20] * 5, [0.9, 0.8, 0.95, 0.7, 0.99]),
        (RNG.integers(1, 6, 200), RNG.beta(5, 2, 200)),
        ([5] * 1000, [0.99] * 1000),
    ],
)
def test_mean_per_class(sizes, accuracies):
    sizes, accuracies = np.array(sizes), np.array(accuracies)
    draws = RNG.binomial(sizes, accuracies, (RUNS, len(sizes)))
    found = [mean_of_proportions(draw, sizes) for draw in draws]
    assert covered(found, accuracies.mean()) > 0.925


def test_classes_alone_and_together():
    sizes, accuracies = np.full(1000, 50), RNG.beta(5, 2, 1000)
    alone, every = [], []
    for draw in RNG.binomial(sizes, accuracies, (400, 1000)):
        low, high = wilson_each(draw, sizes)
        alone.append(((low <= accuracies) & (accuracies <= high)).mean())
        low, high = together(draw, sizes)
        every.append(((low <= accuracies) & (accuracies <= high)).all())
    assert 0.94 < np.mean(alone) < 0.97
    assert np.mean(every) > 0.95


@pytest.mark.parametrize(
    "chances",
    [
        [0.68, 0.05, 0.04, 0.23],
        [0.9, 0.01, 0.005, 0.085],
        [0.7, 0.005, 0.005, 0.29],
        [0.9, 0.02, 0, 0.08],
    ],
)
def test_paired_differences(chances):
    draws = RNG.multinomial(1000, chances, size=RUNS)
    found = [paired_difference(*map(int, draw)) for draw in draws]
    assert 0.94 < covered(found, chances[1] - chances[2]) < 0.985


@pytest.mark.parametrize(
    ("n", "lost", "won"),
    [(1000, 0.006, 0), (2000, 0.002, 0), (1000, 0.01, 0.005), (400, 0.03, 0.01), (200, 0.06, 0.01)],
)
def test_a_drop_at_the_limit_is_seldom_shown_to_be_within_or_beyond(n, lost, won):
    """2.5 % each; hardly any image parts the networks in some of these."""
    draws = RNG.multinomial(n, [lost, won, 1 - lost - won], 20_000)
    found = np.array([excess(int(b), int(c), n, lost - won) for b, c, _ in draws])
    assert (found <= -Z95).mean() < 0.027
    assert (found >= Z95).mean() < 0.06  # skewed: few images, and more often above


def test_paired_differences_where_hardly_an_image_parts_the_networks():
    """As many as said, but nearly all on one side: why quantize's limit has a test of its own."""
    draws = RNG.multinomial(1000, [0.7, 0.006, 0, 0.294], size=RUNS)
    found = [paired_difference(*map(int, draw)) for draw in draws]
    assert 0.91 < covered(found, 0.006) < 0.985
    assert np.mean([high < 0.006 for _, high in found]) > 0.05


@pytest.mark.parametrize(("here", "there"), [(50_000, 10_000), (5_000, 1_000)])
@pytest.mark.parametrize("name", ["ImageNetV2", "ImageNet-R", "ImageNet-A"])
def test_effective_robustness(here, there, name):
    sets = [LabelSet("ILSVRC2012"), LabelSet(name)]
    truth = 5 + BASE_LINES[name.lower().replace("-", "")].expected(72)
    found = []
    for first, second in zip(
        RNG.binomial(here, 0.72, RUNS), RNG.binomial(there, truth / 100, RUNS), strict=True
    ):
        metrics = {
            of.name: [Metric(of.name, "top1", 100 * k / n, *np.multiply(100, wilson(k, n)), n)]
            for of, k, n in zip(sets, (int(first), int(second)), (here, there), strict=True)
        }
        [line] = effective_robustness(sets, metrics)
        found.append((line.ci_low, line.ci_high))
    assert 0.93 < covered(found, 5) < 0.975


@pytest.mark.parametrize("parted", [20, 60, 200])
def test_mcnemar_rejects_a_true_hypothesis_as_often_as_it_says(parted):
    draws = RNG.binomial(parted, 0.5, 20_000)
    exact = np.mean([mcnemar(int(b), parted - int(b)) <= 0.05 for b in draws])
    middle = np.mean([mcnemar_mid_p(int(b), parted - int(b)) <= 0.05 for b in draws])
    assert exact < 0.045
    assert exact <= middle < 0.058


@pytest.mark.parametrize(("n", "bend"), [(1000, 1.3), (10_000, 1.3), (10_000, 1.05), (1000, 1.0)])
def test_debiased_calibration_error(n, bend):
    """Of the bins' error: within a bin nobody sees more."""
    everything, _ = made_up(2_000_000, 1)
    parts = np.array_split(np.sort(everything), 15)
    truth = np.sqrt(np.mean([(np.mean(p**bend) - p.mean()) ** 2 for p in parts]))
    found = []
    for seed in range(600):
        _, low, high = debiased_error(equal_mass(cells_of(*made_up(n, seed, bend))))
        found.append((low, high))
    assert covered(found, truth) > 0.925


@pytest.mark.parametrize(("n", "least"), [(1000, 0), (10_000, 0.75), (50_000, 0.999)])
def test_flags(n, least):
    """A right run is hardly ever flagged; one that is two points off is with enough images."""

    def flagged(truth: float) -> float:
        lines = []
        for count in RNG.binomial(n, truth / 100, RUNS):
            low, high = wilson(int(count), n)
            value = 100 * count / n
            lines.append(Metric("v", "top1", value, 100 * low, 100 * high, n, 72.38, value - 72.38))
        return float(np.mean([line.flagged for line in lines]))

    assert flagged(72.38) < {1000: 0.03, 10_000: 0.006, 50_000: 0.001}[n]
    assert flagged(70.38) >= least
