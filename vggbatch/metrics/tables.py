"""The per-class, confusions and calibration tables of an evaluation, from the sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from vggbatch.metrics.estimates.confidence import CONFIDENCE_UNIT, risk_coverage
from vggbatch.metrics.estimates.intervals import together, wilson_each
from vggbatch.metrics.labelset import IntArray
from vggbatch.metrics.partial import BINS, Partial
from vggbatch.metrics.summary import ErrorPolicy

PER_CLASS_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("top1", pa.float64()),
        pa.field("top5", pa.float64()),
        pa.field("precision", pa.float64()),
        pa.field("recall", pa.float64()),
        pa.field("f1", pa.float64()),
        pa.field("top1_low", pa.float64()),
        pa.field("top1_high", pa.float64()),
        pa.field("top1_low_all", pa.float64()),
        pa.field("top1_high_all", pa.float64()),
        pa.field("top5_low", pa.float64()),
        pa.field("top5_high", pa.float64()),
    ]
)

CONFUSIONS_SCHEMA = pa.schema(
    [
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)

RISK_COVERAGE_SCHEMA = pa.schema(
    [
        pa.field("coverage", pa.float64(), nullable=False),
        pa.field("risk", pa.float64(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
    ]
)

_CURVE_POINTS = 200
"""Of the risk-coverage table."""

CALIBRATION_SCHEMA = pa.schema(
    [
        pa.field("bin_low", pa.float64(), nullable=False),
        pa.field("bin_high", pa.float64(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("confidence", pa.float64()),
        pa.field("accuracy", pa.float64()),
    ]
)


def per_class_table(
    sums: Partial, class_lines: Sequence[str], errors: ErrorPolicy = "wrong"
) -> pa.Table:
    """metrics/per_class: one row a class, in output order.

    `n`, `top1` and `top5` (percent) are over the images that accept the class; they and `recall`
    follow `errors`. `precision`, `recall` and `f1` are fractions, as scikit-learn's
    precision_recall_fscore_support gives them for the first prediction (for several accepted
    classes: of the multilabel indicator matrix), null where it would divide by zero.

    `top1_low` and `top1_high` are a class's own 95 % Wilson interval, as `top5_low` and
    `top5_high`. Of many such intervals some miss: `top1_low_all` and `top1_high_all` are wider, so
    that those of all classes hold together in at least 95 % of cases; a class picked because it
    is the worst needs them.

    Args:
        sums: over all rows.
        class_lines: `wnid name` for each class.
        errors: see `summarize`.
    """
    counts = sums.classes
    n = counts.n + (counts.failed if errors == "wrong" else 0)
    words = [line.partition(" ") for line in class_lines]
    columns = {
        "class_index": np.arange(len(words), dtype=np.int32),
        "wnid": [wnid for wnid, _, _ in words],
        "name": [name for _, _, name in words],
        "n": n,
        "top1": _ratio(100 * counts.top1, n),
        "top5": _ratio(100 * counts.top5, n),
        "precision": _ratio(counts.hits, counts.predicted),
        "recall": _ratio(counts.hits, n),
        "f1": _ratio(2 * counts.hits, counts.predicted + n),
    }
    for name, ends in (
        ("top1_{}", wilson_each(counts.top1, n)),
        ("top1_{}_all", together(counts.top1, n)),
        ("top5_{}", wilson_each(counts.top5, n)),
    ):
        for side, values in zip(("low", "high"), ends, strict=True):
            columns[name.format(side)] = pa.array(100 * values, mask=n == 0)
    return pa.table(columns, schema=PER_CLASS_SCHEMA)


def _ratio(part: IntArray, whole: IntArray) -> pa.Array:
    values = part / np.maximum(whole, 1)
    return pa.array(values, mask=whole == 0)


def confusions_table(sums: Partial, classes: int) -> pa.Table:
    """metrics/confusions: wrong first predictions by label, most frequent first.

    An image that accepts several classes and gets none of them counts once for each.
    """
    label, predicted = np.divmod(sums.confusions.key, classes)
    order = np.lexsort((predicted, label, -sums.confusions.count))
    columns = [
        label[order].astype(np.int32),
        predicted[order].astype(np.int32),
        sums.confusions.count[order],
    ]
    return pa.table(columns, schema=CONFUSIONS_SCHEMA)


def calibration_table(sums: Partial) -> pa.Table:
    """metrics/calibration: bins (bin_low, bin_high] of the first prediction's probability.

    `confidence`: their mean; `accuracy`: the share that is right; fractions, null for an empty
    bin. Over labeled, scored images.
    """
    n, right, confidence = sums.bins
    edges = np.linspace(0, 1, BINS + 1)
    columns = [edges[:-1], edges[1:], n, _ratio(confidence * CONFIDENCE_UNIT, n), _ratio(right, n)]
    return pa.table(columns, schema=CALIBRATION_SCHEMA)


def risk_coverage_table(sums: Partial) -> pa.Table:
    """metrics/risk_coverage: how often the surest `coverage` of the images are wrong.

    Over labeled, scored images; fractions. `threshold`: the confidence of the least sure of them.
    """
    curve = risk_coverage(sums.cells)
    if curve is None:
        return RISK_COVERAGE_SCHEMA.empty_table()
    steps = np.linspace(0, 1, _CURVE_POINTS + 1)[1:] - 1e-12
    points = np.unique(np.searchsorted(curve.coverage, steps).clip(0, len(curve.coverage) - 1))
    columns = [curve.coverage[points], curve.risk[points], curve.threshold[points]]
    return pa.table(columns, schema=RISK_COVERAGE_SCHEMA)
