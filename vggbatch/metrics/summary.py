"""The summary of an evaluation: one line a metric, with its interval and the published value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from vggbatch.metrics.intervals import mean_interval, wilson
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.partial import CONFIDENCE_UNIT, Partial
from vggbatch.pipeline.likelihood import SQUARE_UNIT, UNIT

ErrorPolicy = Literal["wrong", "left_out"]
"""A labelled image that could not be scored counts as wrong, or does not count."""

PUBLISHED_TOLERANCE = 0.4
"""Percentage points; the zoo's own tolerance between its published and measured accuracies."""

_IN_PERCENT = ("top1", "top5", "mean_per_class_top1", "top1_at_most", "top5_at_most")

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("label_set", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("ci_low", pa.float64()),
        pa.field("ci_high", pa.float64()),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("published", pa.float64()),
        pa.field("published_delta", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Metric:
    """One line of the summary.

    `value` None: not defined, or not known from the predictions; a note says which.
    """

    label_set: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    published: float | None = None
    published_delta: float | None = None

    @property
    def unit(self) -> str:
        """What stands behind its values where they are shown: `%`, or nothing."""
        return "%" if self.metric in (*_IN_PERCENT, "error_rate") else ""

    def shown(self, value: float) -> str:
        """One of its values as it is shown, without the unit."""
        if self.metric in _IN_PERCENT:
            return f"{value:.2f}"
        return f"{100 * value:.3f}" if self.metric == "error_rate" else f"{value:.4f}"

    @property
    def flagged(self) -> bool:
        """Whether it is further from the published value than the zoo tolerates."""
        delta = self.published_delta
        # Half a unit of the last published digit: 72.38 - 71.98 is 0.4 and not more.
        return delta is not None and abs(delta) > PUBLISHED_TOLERANCE + 1e-9


def summarize(
    labels: LabelSet,
    sums: Partial,
    *,
    errors: ErrorPolicy = "wrong",
    published: Mapping[str, float] | None = None,
) -> list[Metric]:
    """The summary lines of a label set.

    top1, top5 and mean_per_class_top1 are percentages; ece and error_rate are fractions; nll is
    in nats. The first three follow `errors`; ece and nll are always over the scored images,
    error_rate over all rows, labelled or not.

    What five predictions a row cannot tell is not guessed. nll is null when the probability of
    some label is unknown, and nll_at_least bounds it. With a subset of the classes, images whose
    five predictions leave the answer open count as wrong, top1_at_most and top5_at_most count
    them as right, and ece and nll, which need the probabilities within the subset, are null.

    Args:
        labels: the label set.
        sums: over all rows.
        errors: what a labelled image that could not be scored counts as.
        published: percentages by metric, to stand beside the measured.
    """
    n = sums.labelled + (sums.labelled_errors if errors == "wrong" else 0)
    lines = [
        _share(labels, "top1", sums.top1, n, scale=100),
        _share(labels, "top5", sums.top5, n, scale=100),
        _mean_per_class(labels, sums, errors),
    ]
    if sums.open_top1:
        lines.append(_share(labels, "top1_at_most", sums.top1 + sums.open_top1, n, scale=100))
    if sums.open_top5:
        lines.append(_share(labels, "top5_at_most", sums.top5 + sums.open_top5, n, scale=100))
    lines.append(_calibration_error(labels, sums))
    lines += _log_likelihood(labels, sums)
    lines.append(_share(labels, "error_rate", sums.errors, sums.rows, scale=1))
    return [_beside(line, published or {}) for line in lines]


def _beside(line: Metric, published: Mapping[str, float]) -> Metric:
    expected = published.get(line.metric)
    if expected is None or line.value is None:
        return line
    return replace(line, published=expected, published_delta=line.value - expected)


def _share(labels: LabelSet, metric: str, part: float, n: int, *, scale: int) -> Metric:
    if not n:
        return Metric(labels.name, metric, None, None, None, 0)
    low, high = wilson(part, n)
    return Metric(labels.name, metric, scale * part / n, scale * low, scale * high, n)


def _mean_per_class(labels: LabelSet, sums: Partial, errors: ErrorPolicy) -> Metric:
    """The mean of the classes' top-1.

    Its interval is Wilson's at Kish's effective sample size, (sum of weights)^2 / sum of squared
    weights, as the mean weighs an image by 1 / (images of its class): with equally many images
    in every class it is the interval of top-1.
    """
    counts = sums.classes
    n = counts.n + (counts.failed if errors == "wrong" else 0)
    present = n > 0
    if not present.any():
        return Metric(labels.name, "mean_per_class_top1", None, None, None, 0)
    mean = float((counts.top1[present] / n[present]).mean())
    effective = float(present.sum()) ** 2 / float((1 / n[present]).sum())
    low, high = wilson(mean * effective, effective)
    images = sums.labelled + (sums.labelled_errors if errors == "wrong" else 0)
    return Metric(labels.name, "mean_per_class_top1", 100 * mean, 100 * low, 100 * high, images)


def _calibration_error(labels: LabelSet, sums: Partial) -> Metric:
    """Expected calibration error: |accuracy - confidence| of the bins, weighted by their rows."""
    n, right, confidence = sums.bins
    total = int(n.sum())
    if not total:
        return Metric(labels.name, "ece", None, None, None, 0)
    gap = float(np.abs(right - confidence * CONFIDENCE_UNIT).sum()) / total
    return Metric(labels.name, "ece", gap, None, None, total)


def _log_likelihood(labels: LabelSet, sums: Partial) -> list[Metric]:
    known, outside = sums.likelihood, sums.outside
    n = known.n + outside.n
    if labels.classes is not None or sums.several or not n:
        return [Metric(labels.name, "nll", None, None, None, n)]
    total = known + outside
    mean = total.total * UNIT / n
    if outside.n:
        return [
            Metric(labels.name, "nll", None, None, None, n),
            Metric(labels.name, "nll_at_least", mean, None, None, n),
        ]
    low, high = mean_interval(total.total * UNIT, total.squares * SQUARE_UNIT, n)
    return [Metric(labels.name, "nll", mean, low, high, n)]


def notes(sums: Partial, lines: Sequence[Metric], errors: ErrorPolicy) -> list[str]:
    """What a reader of the summary must know, one sentence each."""
    said = []
    if not sums.labelled and not sums.labelled_errors:
        said.append("no image has a label in this set")
    unlabelled = sums.rows - sums.errors - sums.labelled
    if unlabelled and sums.labelled:
        said.append(f"{_images(unlabelled, 'scored ')} without a label here: not counted")
    if sums.labelled_errors:
        how = "counted as wrong" if errors == "wrong" else "left out"
        said.append(f"{_images(sums.labelled_errors, 'labelled ')} that could not be scored: {how}")
    if sums.open_top5:
        said.append(
            f"{sums.open_top1:,} (top 1) and {sums.open_top5:,} (top 5) with too few of the set's "
            "classes among their five predictions to be decided: counted as wrong"
        )
    if any(line.metric == "nll_at_least" for line in lines):
        said.append(
            f"nll is not known: for {_images(sums.outside.n)} the label is not among the five "
            "predictions"
        )
    return said + [_flag(line) for line in lines if line.flagged]


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}image{'' if count == 1 else 's'}"


def _flag(line: Metric) -> str:
    text = (
        f"{line.metric} is {line.published_delta:+.2f} points from the published "
        f"{line.published:.2f}, more than {PUBLISHED_TOLERANCE}"
    )
    if (line.ci_low or 0.0) <= (line.published or 0.0) <= (line.ci_high or 0.0):
        text += f" but within the interval of {line.n:,} images"
    return text


def summary_table(lines: Sequence[Metric]) -> pa.Table:
    """metrics/summary.parquet."""
    columns = {name: [getattr(line, name) for line in lines] for name in SUMMARY_SCHEMA.names}
    return pa.table(columns, schema=SUMMARY_SCHEMA)
