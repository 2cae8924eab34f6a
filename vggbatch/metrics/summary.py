"""The summary of an evaluation: one line a metric, with its interval and the published value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from vggbatch.chunks.likelihood import SQUARE_UNIT, UNIT
from vggbatch.metrics.estimates.confidence import (
    CONFIDENCE_UNIT,
    calibration_error,
    debiased_error,
    equal_mass,
    risk_coverage,
)
from vggbatch.metrics.estimates.intervals import mean_interval, mean_of_proportions, wilson
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.partial import Partial

ErrorPolicy = Literal["wrong", "left_out"]
"""A labeled image that could not be scored counts as wrong, or does not count."""

PUBLISHED_TOLERANCE = 0.4
"""Percentage points; the zoo's tolerance between its own numbers and those of the papers."""

_IN_FOUR_DIGITS = (
    *("ece", "ece_equal_mass", "ece_l2_debiased", "classwise_ece_top5"),
    *("nll", "nll_at_least", "brier", "aurc"),
)
"""All others are percentages."""

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
        return "" if self.metric in _IN_FOUR_DIGITS else "%"

    def shown(self, value: float) -> str:
        """One of its values as it is shown, without the unit."""
        if self.metric == "error_rate":
            return f"{100 * value:.3f}"
        return f"{value:.4f}" if self.metric in _IN_FOUR_DIGITS else f"{value:.2f}"

    @property
    def flagged(self) -> bool:
        """Whether the published value is outside the interval by more than the zoo tolerates.

        The interval is what the number of images leaves open: right runs over 1,000 images miss
        the published value by more than the tolerance in three of four cases.
        """
        if self.published is None or self.ci_low is None or self.ci_high is None:
            return False
        outside = max(self.ci_low - self.published, self.published - self.ci_high)
        return outside > PUBLISHED_TOLERANCE + 1e-9  # half a unit of the last published digit


def summarize(
    labels: LabelSet,
    sums: Partial,
    *,
    errors: ErrorPolicy = "wrong",
    published: Mapping[str, float] | None = None,
) -> list[Metric]:
    """The summary lines of a label set.

    Accuracies and shares are percentages; calibration errors, Brier score, AURC and error_rate are
    fractions; nll is in nats. Accuracies follow `errors`, and where images failed the other policy
    stands beside it (`top1_scored`, `top1_all`). What is about confidence is always over the
    scored images, error_rate over all rows, labeled or not.

    What five predictions a row do not show is not guessed. nll is null when the probability of
    some label is unknown, and nll_at_least bounds it; the Brier score is null then. With a subset
    of the classes, images whose five predictions leave the answer open count as wrong,
    top1_at_most and top5_at_most count them as right, and what needs the probabilities within
    the subset is null. Without one these, and top1_at_least and top5_at_least, are there where
    probabilities tie.

    Args:
        labels: the label set.
        sums: over all rows.
        errors: what a labeled image that could not be scored counts as.
        published: percentages by metric, to stand beside the measured.
    """
    n = sums.labeled + (sums.labeled_errors if errors == "wrong" else 0)
    lines = [
        _share(labels, "top1", sums.top1, n, scale=100),
        _share(labels, "top5", sums.top5, n, scale=100),
        _mean_per_class(labels, sums, errors),
        *_bounds(labels, sums, n),
        _calibration_error(labels, sums),
        *_log_likelihood(labels, sums),
        _share(labels, "error_rate", sums.errors, sums.rows, scale=1),
        *_other_policy(labels, sums, errors),
    ]
    if labels.classes is None:
        lines += [
            _share(labels, f"top{places}", int(sums.right[places - 1]), n, scale=100)
            for places in range(2, len(sums.right))
        ]
        lines += [_brier(labels, sums), *_confidence(labels, sums), *_audit(labels, sums)]
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


def _plain(labels: LabelSet, metric: str, value: float | None, n: int) -> Metric:
    return Metric(labels.name, metric, value, None, None, n)


def _mean_per_class(labels: LabelSet, sums: Partial, errors: ErrorPolicy) -> Metric:
    """The mean of the classes' top-1, every class by the same weight."""
    counts = sums.classes
    n = counts.n + (counts.failed if errors == "wrong" else 0)
    present = n > 0
    if not present.any():
        return _plain(labels, "mean_per_class_top1", None, 0)
    mean = float((counts.top1[present] / n[present]).mean())
    low, high = mean_of_proportions(counts.top1[present], n[present])
    images = sums.labeled + (sums.labeled_errors if errors == "wrong" else 0)
    return Metric(labels.name, "mean_per_class_top1", 100 * mean, 100 * low, 100 * high, images)


def _bounds(labels: LabelSet, sums: Partial, n: int) -> list[Metric]:
    """What top-1 and top-5 may be at least and at most, where that is not what they are."""
    known = sums.likelihood
    if labels.classes is not None:
        bounds = {
            "top1_at_most": (sums.top1, sums.top1 + sums.open_top1),
            "top5_at_most": (sums.top5, sums.top5 + sums.open_top5),
        }
    else:
        bounds = {
            "top1_at_least": (sums.top1, sums.certain_top1),
            "top1_at_most": (sums.top1, sums.possible_top1),
        }
        if known.beyond == sums.labeled:
            bounds["top5_at_least"] = (sums.top5, known.certain)
            bounds["top5_at_most"] = (sums.top5, known.possible)
    return [
        _share(labels, metric, bound, n, scale=100)
        for metric, (count, bound) in bounds.items()
        if bound != count
    ]


def _other_policy(labels: LabelSet, sums: Partial, errors: ErrorPolicy) -> list[Metric]:
    """The accuracies with labeled images that failed left out, or counted, as `errors` has not."""
    if not sums.labeled_errors:
        return []
    n = sums.labeled + (0 if errors == "wrong" else sums.labeled_errors)
    suffix = "scored" if errors == "wrong" else "all"
    return [
        _share(labels, f"top1_{suffix}", sums.top1, n, scale=100),
        _share(labels, f"top5_{suffix}", sums.top5, n, scale=100),
    ]


def _calibration_error(labels: LabelSet, sums: Partial) -> Metric:
    """Expected calibration error: |accuracy - confidence| of the bins, weighted by their rows."""
    total = int(sums.bins[0].sum())
    return _plain(labels, "ece", calibration_error(sums.bins) if total else None, total)


def _confidence(labels: LabelSet, sums: Partial) -> list[Metric]:
    """Calibration in bins of equal mass and by class, and the area under risk by coverage."""
    total = int(sums.cells[0].sum())
    curve = risk_coverage(sums.cells)
    if curve is None:
        return []
    bins = equal_mass(sums.cells)
    value, low, high = debiased_error(bins) or (None, None, None)
    gaps = float(np.abs(sums.gaps).sum()) * CONFIDENCE_UNIT / len(sums.classes.n) / total
    return [
        _plain(labels, "ece_equal_mass", calibration_error(bins), total),
        Metric(labels.name, "ece_l2_debiased", value, low, high, total),
        _plain(labels, "classwise_ece_top5", gaps, total),
        _plain(labels, "aurc", curve.area, total),
    ]


def _log_likelihood(labels: LabelSet, sums: Partial) -> list[Metric]:
    known, outside = sums.likelihood, sums.outside
    n = known.n + outside.n
    if labels.classes is not None or sums.several or not n:
        return [_plain(labels, "nll", None, n)]
    total = known + outside
    mean = total.total * UNIT / n
    if outside.n:
        return [_plain(labels, "nll", None, n), _plain(labels, "nll_at_least", mean, n)]
    low, high = mean_interval(total.total * UNIT, total.squares * SQUARE_UNIT, n) or (None, None)
    return [Metric(labels.name, "nll", mean, low, high, n)]


def _brier(labels: LabelSet, sums: Partial) -> Metric:
    """The Brier score, from 0 to 2: the squared distance of the probabilities from the label."""
    known, n = sums.likelihood, sums.labeled
    if not n or sums.several or known.beyond != n:
        return _plain(labels, "brier", None, n)
    total = known.brier * UNIT
    low, high = mean_interval(total, known.brier_squares * SQUARE_UNIT, n) or (None, None)
    return Metric(labels.name, "brier", total / n, low, high, n)


def _audit(labels: LabelSet, sums: Partial) -> list[Metric]:
    found = sums.audit
    if not found.rejected and not found.vindicated:
        return []
    return [
        _share(labels, "label_rejected", found.rejected, found.compared, scale=100),
        _share(labels, "label_audit", found.vindicated, found.compared, scale=100),
    ]


def notes(sums: Partial, lines: Sequence[Metric], errors: ErrorPolicy) -> list[str]:
    """What a reader of the summary must know, one sentence each."""
    said = []
    if not sums.labeled and not sums.labeled_errors:
        said.append("no image has a label in this set")
    unlabeled = sums.rows - sums.errors - sums.labeled
    if unlabeled and sums.labeled:
        said.append(f"{_images(unlabeled, 'scored ')} without a label here: not counted")
    if sums.labeled_errors:
        how = "counted as wrong" if errors == "wrong" else "left out"
        said.append(f"{_images(sums.labeled_errors, 'labeled ')} that could not be scored: {how}")
    if sums.open_top5:
        said.append(
            f"{sums.open_top1:,} (top 1) and {sums.open_top5:,} (top 5) with too few of the set's "
            "classes among their five predictions to be decided: counted as wrong"
        )
    said += _ties(sums)
    if any(line.metric == "nll_at_least" for line in lines):
        said.append(
            f"nll is not known: for {_images(sums.outside.n)} the label is not among the five "
            "predictions"
        )
    if sums.audit.vindicated:
        said.append(
            f"{_images(sums.audit.vindicated)} whose prediction is right here though it is not the "
            "label that the rows have: metrics/label_audit lists them"
        )
    return said + [_flag(line) for line in lines if line.flagged]


def _ties(sums: Partial) -> list[str]:
    """That places tie, so that their order says nothing."""
    known = sums.likelihood
    first = f"{_images(sums.first_tied)} whose places 1 and 2 have the same probability"
    fifth = f"{_images(known.tied)} whose places 5 and 6 have"
    parts = [text for text, count in ((first, sums.first_tied), (fifth, known.tied)) if count]
    if not parts:
        return []
    return [f"{' and '.join(parts)}: the class of the lower index comes first"]


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}image{'' if count == 1 else 's'}"


def _flag(line: Metric) -> str:
    return (
        f"{line.metric} is {line.published_delta:+.2f} points from the published "
        f"{line.published:.2f}, which is outside the 95 % interval by more than "
        f"{PUBLISHED_TOLERANCE}, the zoo's tolerance between its numbers and the papers'"
    )


def summary_table(lines: Sequence[Metric]) -> pa.Table:
    """metrics/summary."""
    columns = {name: [getattr(line, name) for line in lines] for name in SUMMARY_SCHEMA.names}
    return pa.table(columns, schema=SUMMARY_SCHEMA)
