"""The images that could not be scored, and what they do to the accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vggbatch.metrics import Metric
from vggbatch.report.example import Example
from vggbatch.report.scan import Scan

_WITH, _WITHOUT = "all", "scored"
_HEADLINES = ("top1", "top5")


@dataclass(frozen=True)
class Kind:
    """One kind of error."""

    name: str
    count: int
    share: float
    """Percent of all images."""
    examples: list[Example]


@dataclass(frozen=True)
class Sides:
    """An accuracy with the failed images as wrong, and over the scored images alone."""

    metric: str
    with_failed: Metric
    without_failed: Metric


@dataclass(frozen=True)
class Failures:
    """What the page begins with, if any image failed."""

    count: int
    images: int
    kinds: list[Kind]
    """The most frequent first."""
    sides: list[Sides]
    """None where no labeled image failed."""


def failures_of(found: Scan, metrics: Sequence[Metric]) -> Failures | None:
    """The failed images of a run; None where there are none.

    Args:
        found: the pass over the predictions.
        metrics: the summary of the run.
    """
    if not found.error_counts:
        return None
    kinds = [
        Kind(name, count, 100 * count / found.rows, found.errors[name])
        for name, count in found.error_counts.most_common()
    ]
    return Failures(found.error_counts.total(), found.rows, kinds, _sides(metrics))


def _sides(metrics: Sequence[Metric]) -> list[Sides]:
    """Both policies of the first label set: the summary has the second where it differs."""
    first = {line.metric: line for line in metrics if line.label_set == metrics[0].label_set}
    sides = []
    for name in _HEADLINES:
        if f"{name}_{_WITHOUT}" in first:
            sides.append(Sides(name, first[name], first[f"{name}_{_WITHOUT}"]))
        elif f"{name}_{_WITH}" in first:
            sides.append(Sides(name, first[f"{name}_{_WITH}"], first[name]))
    return sides
