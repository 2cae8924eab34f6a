from __future__ import annotations

import numpy as np
import pytest

from vggbatch.metrics import LabelSet, Metric
from vggbatch.metrics.estimates.intervals import wilson
from vggbatch.metrics.robustness import BASE_LINES, effective_robustness


def top1(name: str, count: int, n: int) -> list[Metric]:
    low, high = wilson(count, n)
    return [Metric(name, "top1", 100 * count / n, 100 * low, 100 * high, n)]


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [
        # timm's results for resnet50.tv_in1k and vgg16.tv_in1k
        ("imagenetv2", 76.156, 63.19),
        ("imagenetv2", 71.594, 58.64),
        ("imagenetr", 92.15, 36.157),
        ("imageneta", 88.54, 2.56),
    ],
)
def test_known_networks_lie_near_the_lines(name, here, there):
    line = BASE_LINES[name]
    assert abs(line.expected(here) - there) < 2.1 * line.spread


def test_a_set_beside_ilsvrc2012_has_a_line():
    sets = [LabelSet("ILSVRC2012"), LabelSet("ImageNet-V2"), LabelSet("other")]
    lines = {
        "ILSVRC2012": top1("ILSVRC2012", 35_800, 50_000),
        "ImageNet-V2": top1("ImageNet-V2", 6_064, 10_000),
        "other": top1("other", 5, 10),
    }
    [found] = effective_robustness(sets, lines)
    assert (found.label_set, found.metric, found.n) == (
        "ImageNet-V2",
        "effective_robustness",
        10_000,
    )
    odds = 0.9056 * np.log(0.716 / 0.284) - 0.4734
    assert found.value == pytest.approx(60.64 - 100 / (1 + np.exp(-odds)))
    assert found.ci_low < found.value < found.ci_high
    assert 1.8 < found.ci_high - found.ci_low < 2.2
    assert not effective_robustness(sets[1:], lines)


def test_subsets_are_compared_with_the_same_subset():
    sets = [LabelSet("ILSVRC2012"), LabelSet("ImageNet-R", classes=(1, 2))]
    lines = {"ILSVRC2012": top1("ILSVRC2012", 7, 10), "ImageNet-R": top1("ImageNet-R", 3, 10)}
    assert not effective_robustness(sets, lines)
    sets.append(LabelSet("ILSVRC2012 of R", classes=(1, 2)))
    lines["ILSVRC2012 of R"] = top1("ILSVRC2012 of R", 9, 10)
    [found] = effective_robustness(sets, lines)
    assert found.value == pytest.approx(30 - BASE_LINES["imagenetr"].expected(90))


@pytest.mark.slow
def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    line, hits = BASE_LINES["imagenetv2"], []
    truth = 60.0 - line.expected(71.6)
    sets = [LabelSet("ILSVRC2012"), LabelSet("ImageNetV2")]
    for here, there in zip(
        rng.binomial(5000, 0.716, 2000), rng.binomial(2000, 0.6, 2000), strict=True
    ):
        lines = {
            "ILSVRC2012": top1("ILSVRC2012", int(here), 5000),
            "ImageNetV2": top1("ImageNetV2", int(there), 2000),
        }
        [found] = effective_robustness(sets, lines)
        hits.append(found.ci_low <= truth <= found.ci_high)
    assert 0.935 < np.mean(hits) < 0.97
