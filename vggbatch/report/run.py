"""The page about one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vggbatch.metrics import Metric
from vggbatch.metrics.nearest import nearest
from vggbatch.metrics.summary import PUBLISHED_TOLERANCE
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.report import charts
from vggbatch.report.output import RunOutput, open_output
from vggbatch.report.page import render
from vggbatch.report.scan import Example, Scan, scan
from vggbatch.report.thumbnails import thumbnails
from vggbatch.storage.filesystem import Folder

REPORT = "report.html"

GALLERY = 24
"""Images in each gallery."""
_CONFUSIONS = 200
"""Pairs listed: what follows are pairs of one image."""
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
    return f"{folder.uri}/{REPORT}"


def run_page(output: RunOutput, *, gallery: int = GALLERY, images: Sequence[str] = ()) -> str:
    """The page as HTML."""
    lines = output.class_lines()
    found = scan(output.predictions, output.label_set(lines), gallery)
    lines = _Lines({**found.class_lines, **lines})
    mistakes, unsure = found.mistakes.examples(), found.unsure.examples()
    failed = [example for kind in found.errors.values() for example in kind]
    pictures = thumbnails(
        output.predictions,
        [*mistakes, *unsure, *failed],
        output.record,
        images,
        trusted=output.own,
    )
    metrics = output.metrics()
    calibration = output.table("calibration")
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
        stages=_stages(output.record),
        left_out=output.record.get("left_out", []),
        unused_labels=output.record.get("unused_labels", []),
        assumptions=output.record.get("assumptions", []),
        throughput=charts.throughput(output.record.get("throughput")),
        reliability=charts.reliability(calibration) if _any_rows(calibration) else None,
        histogram=charts.histogram(found),
        labeled=bool(found.right.any() or found.wrong.any()),
        found=found,
        classes=_classes(output.table("per_class")),
        kinds=_rows(output.table("superclasses")),
        predicted=[] if metrics else _predicted(found),
        confusions=_confusions(output.table("confusions"), output.table("per_class")),
        class_lines=lines,
        mistakes=mistakes,
        unsure=unsure,
        errors=_errors(found),
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


def _any_rows(calibration: pa.Table | None) -> bool:
    return calibration is not None and any(calibration["n"].to_pylist())


def _rows(table: pa.Table | None) -> list[dict[str, Any]]:
    return table.to_pylist() if table is not None else []


def _classes(per_class: pa.Table | None) -> list[dict[str, Any]]:
    """The classes that have images, the worst first."""
    rows = per_class.to_pylist() if per_class is not None else []
    return sorted((row for row in rows if row["n"]), key=lambda row: row["top1"])


def _predicted(found: Scan) -> list[dict[str, Any]]:
    """What was seen, where nothing is known of what is right: classes by their images."""
    return [
        {"class_index": cls, "n": n, "confidence": found.confidence[cls] / n}
        for cls, n in found.predicted.most_common()
    ]


def _confusions(confusions: pa.Table | None, per_class: pa.Table | None) -> list[dict[str, Any]]:
    """The most frequent pairs, each with its share of the label's images."""
    if confusions is None or per_class is None:
        return []
    images = dict(zip(*(per_class[name].to_pylist() for name in ("class_index", "n")), strict=True))
    return [
        {**row, "share": 100 * row["count"] / max(1, images.get(row["label"], 0))}
        for row in confusions.slice(0, _CONFUSIONS).to_pylist()
    ]


def _errors(found: Scan) -> list[tuple[str, int, list[Example]]]:
    """Kinds of errors, the most frequent first, with their numbers and first images."""
    return [(kind, count, found.errors[kind]) for kind, count in found.error_counts.most_common()]
