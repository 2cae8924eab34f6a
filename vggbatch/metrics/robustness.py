"""Effective robustness: accuracy on a harder test set beyond what accuracy on ILSVRC2012 predicts.

Taori et al. (2020, Measuring Robustness to Natural Distribution Shifts) compare a network with the
line on which networks lie that were trained on ILSVRC2012 alone, in logits of the accuracies. The
lines here are least-squares fits over the top-1 accuracies of 1,065 such networks that timm
publishes (results/*.csv at commit aa4b5850, of August 2026); networks of other data are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.summary import Metric

REFERENCE = "ilsvrc2012"
"""How the name of a set of the validation images begins, without case and punctuation."""


@dataclass(frozen=True)
class BaseLine:
    """logit(accuracy there) = slope logit(accuracy on ILSVRC2012) + intercept."""

    slope: float
    intercept: float
    spread: float
    """Standard deviation of the networks around it, in points: a smaller value says nothing."""

    def expected(self, accuracy: float) -> float:
        """Percentage there of a network with so many percent on ILSVRC2012."""
        share = min(max(accuracy / 100, 1e-6), 1 - 1e-6)
        odds = self.slope * math.log(share / (1 - share)) + self.intercept
        return 100 / (1 + math.exp(-odds))


BASE_LINES = {
    "imagenetv2": BaseLine(0.9056, -0.4734, 0.45),
    "imagenetr": BaseLine(0.6977, -2.2508, 2.75),
    "imageneta": BaseLine(2.0986, -7.6940, 4.21),
}
"""By the name of a label set, without case and punctuation. R^2 is 0.994, 0.849 and 0.857. For R
and A both accuracies are of the 200 classes of the set alone."""


def effective_robustness(
    label_sets: Sequence[LabelSet], metrics: Mapping[str, Sequence[Metric]]
) -> list[Metric]:
    """A line for each label set named ImageNetV2, ImageNet-R or ImageNet-A beside ILSVRC2012.

    Beside means: a set with the same subset of the classes whose name begins with ILSVRC2012. The
    interval joins those of both accuracies, which are of different images (Newcombe 1998, method
    10 without a correlation).

    Args:
        label_sets: that were scored.
        metrics: the summary lines of each, by its name.
    """
    found = []
    for target in label_sets:
        line = BASE_LINES.get(_plain(target.name))
        beside = [
            other
            for other in label_sets
            if other.classes == target.classes and _plain(other.name).startswith(REFERENCE)
        ]
        if line is None or not beside:
            continue
        there, here = _top1(metrics[target.name]), _top1(metrics[beside[0].name])
        if there is None or here is None:
            continue
        (value, low, high), (accuracy, least, most) = there, here
        expected = line.expected(accuracy)
        below = math.hypot(value - low, line.expected(most) - expected)
        above = math.hypot(high - value, expected - line.expected(least))
        excess = value - expected
        n = next(metric.n for metric in metrics[target.name] if metric.metric == "top1")
        name = "effective_robustness"
        found.append(Metric(target.name, name, excess, excess - below, excess + above, n))
    return found


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _top1(lines: Sequence[Metric]) -> tuple[float, float, float] | None:
    line = next(line for line in lines if line.metric == "top1")
    if line.value is None or line.ci_low is None or line.ci_high is None:
        return None
    return line.value, line.ci_low, line.ci_high
