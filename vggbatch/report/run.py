"""The page about one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vggbatch.metrics import Metric
from vggbatch.metrics.nearest import nearest
from vggbatch.metrics.summary import PUBLISHED_TOLERANCE
from vggbatch.output.names import REPORT
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.report import charts
from vggbatch.report.classes import classes_of, confusions_of, groups_of, predicted_of
from vggbatch.report.failures import failures_of
from vggbatch.report.groups import few_of_each
from vggbatch.report.heatmap import heat_map
from vggbatch.report.output import RunOutput, open_output
from vggbatch.report.page import render
from vggbatch.report.scan import scan
from vggbatch.report.thumbnails import thumbnails
from vggbatch.storage.filesystem import Folder

GALLERY = 24
"""Images in each gallery."""
ROWS = 15
"""Rows of a long table that are shown before more is asked for."""
_HEADLINES = ("top1", "top5")
_STAGES = (
    ("fetch_seconds", "Read"),
    ("decode_seconds", "Decode, resize, crop"),
    ("infer_seconds", "Classify"),
    ("write_seconds", "Write"),
)


@dataclass(frozen=True)
class Headline:
    """A metric shown large, with its interval drawn."""

    line: Metric
    span: charts.Span | None


@dataclass(frozen=True)
class Stage:
    """What one stage of the pipeline took, summed over all cores."""

    name: str
    seconds: float
    share: float
    """Percent."""
    milliseconds: float
    """An image."""


class _Lines(dict[int, str]):
    """`wnid name` by class index; a class that nothing names is shown by its index."""

    def __missing__(self, index: int) -> str:
        return f"class {index}"


def write_report(folder: Folder, *, gallery: int = GALLERY, images: Sequence[str] = ()) -> str:
    """Write report.html into the output of a finished run, or of `rescore`.

    Args:
        folder: the output.
        gallery: images in each gallery.
        images: where images may be read, see `thumbnails`.

    Returns:
        The page's URI.

    Raises:
        UsageError: the run is not finished, or the folder is no output.
    """
    open_output(folder, images)  # whatever is wrong with it comes before its lease
    with OutputLease(folder) as lease:
        output = open_output(folder, images)
        with output.reading():
            page = run_page(output, gallery=gallery, images=images)
        lease.fence.write_bytes(REPORT, page.encode())
        lease.fence.check()  # in a store another run may have come while it was sent
    return f"{folder.uri}/{REPORT}"


def run_page(output: RunOutput, *, gallery: int = GALLERY, images: Sequence[str] = ()) -> str:
    """The page as HTML."""
    lines, metrics = output.class_lines(), output.metrics()
    per_class, confusions = output.table("per_class"), output.table("confusions")
    kinds = output.table("superclasses")
    pairs = confusions_of(confusions, per_class)
    found = scan(
        output.predictions,
        output.label_set(lines),
        gallery,
        [(row["label"], row["predicted"]) for row in pairs],
        by_prediction=not metrics,
    )
    lines = _Lines({**found.class_lines, **lines})
    classes, single = classes_of(per_class)
    predicted = [] if metrics else predicted_of(found)
    groups = groups_of(found, classes, pairs, predicted, lines)
    mistakes, unsure = found.mistakes.examples(), found.unsure.examples()
    failures = failures_of(found, metrics)
    failed = [example for kind in failures.kinds for example in kind.examples] if failures else []
    behind = [example for part in groups.values() for example in few_of_each(part, ROWS)]
    pictures = thumbnails(
        output.predictions,
        [*mistakes, *unsure, *failed, *behind],
        output.record,
        images,
        trusted=output.own,
    )
    calibration, curve = output.table("calibration"), output.table("risk_coverage")
    return render(
        "run.html",
        output=output,
        record=output.record,
        headlines=_headlines(metrics),
        metrics=metrics,
        profiles=[
            (profile, line)
            for profile, its_metrics in output.profiles().items()
            for line in its_metrics
            if line.metric in _HEADLINES
        ],
        nearest=nearest(output.profiles()),
        several_sets=len({line.label_set for line in metrics}) > 1,
        bounded=any(line.metric == "nll_at_least" for line in metrics),
        tolerance=PUBLISHED_TOLERANCE,
        flagged=[line for line in metrics if line.flagged],
        failures=failures,
        stages=_stages(output.record),
        left_out=output.record.get("left_out", []),
        unused_labels=output.record.get("unused_labels", []),
        assumptions=output.record.get("assumptions", []),
        throughput=charts.throughput(output.record.get("throughput")),
        reliability=charts.reliability(calibration, found.shown.bins.kept)
        if _any_rows(calibration)
        else None,
        thresholds=charts.thresholds(curve) if curve is not None and curve.num_rows > 1 else None,
        histogram=charts.histogram(found),
        labeled=bool(found.right.any() or found.wrong.any()),
        found=found,
        limit=ROWS,
        classes=classes,
        single=single,
        kinds=_rows(kinds),
        heat=heat_map(per_class, confusions, kinds),
        predicted=predicted,
        confusions=pairs,
        class_lines=lines,
        groups=groups,
        anchors={group.anchor for part in groups.values() for group in part if group.examples},
        mistakes=mistakes,
        unsure=unsure,
        thumbnails=pictures,
    )


def _headlines(metrics: Sequence[Metric]) -> list[Headline]:
    """The accuracies of the first label set."""
    first = [line for line in metrics if line.label_set == metrics[0].label_set]
    return [Headline(line, charts.span(line)) for line in first if line.metric in _HEADLINES]


def _stages(record: dict[str, Any]) -> list[Stage]:
    timings = record.get("timings", {})
    images = max(1, record["counts"]["images"])
    seconds = {name: timings.get(key, 0.0) for key, name in _STAGES}
    total = sum(seconds.values())
    return [
        Stage(name, value, 100 * value / total, 1000 * value / images)
        for name, value in seconds.items()
        if value > 0
    ]


def _any_rows(table: pa.Table | None) -> bool:
    return table is not None and any(table["n"].to_pylist())


def _rows(table: pa.Table | None) -> list[dict[str, Any]]:
    """The rows with more than one image: the accuracy of a single one says nothing."""
    return [row for row in table.to_pylist() if row["n"] > 1] if table is not None else []
