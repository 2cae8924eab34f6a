"""The resize_spec of the charts: what to draw where, in percent of a plot's width and height.

A plot is drawn as SVG that stretches with the page, and its text as HTML around it, so that type
keeps its size on a phone, follows the colors of the page and can be selected, read out and
printed. Chart libraries for Python draw pictures of one size in fixed colors: on a phone they
shrink the text with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vggbatch.metrics import Metric
from vggbatch.metrics.estimates.intervals import wilson
from vggbatch.report.scan import BINS, Scan

_BARS = 48
"""Bars of the throughput chart at most."""
_CHUNKS_A_BAR = 3
_STEADY = 1.25
"""Intervals for each in which images were done, at most: then a bar may be a single one."""
_FEWEST_BARS = 4
_COVERAGE_STEP = 5
"""Percent of the images from one row of the numbers behind a curve to the next."""
_PAUSE = 60.0
"""Seconds without an image, and two bars, after which a run counts as interrupted."""


@dataclass(frozen=True)
class Tick:
    """A labeled place on an axis, in percent of it."""

    at: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A rectangle from `bottom` to `top`, percent of the height, with the numbers it stands for."""

    left: float
    width: float
    bottom: float
    top: float
    kind: str
    title: str


@dataclass(frozen=True)
class Line:
    """A straight line. A dot is one without length."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str
    title: str = ""
    link: str | None = None
    """The anchor of the images that it stands for."""


@dataclass(frozen=True)
class Curve:
    """Points joined by straight lines, each (x, y)."""

    points: list[tuple[float, float]]
    kind: str


@dataclass
class Plot:
    """One chart, with its numbers as a table for those who want them, or cannot see it."""

    label: str
    """What the picture shows, in a sentence."""
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_name: str
    y_name: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    bars: list[Bar] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    links: list[str | None] = field(default_factory=list)
    """Of the rows: the anchor of the images that one is about."""


@dataclass(frozen=True)
class Span:
    """An interval, its middle and a value to hold against it, in percent of a common scale."""

    low: float
    high: float
    value: float
    published: float | None


def nice_ticks(top: float) -> list[float]:
    """Round values from 0 to at least `top` (above 0), four to six of them."""
    step = 10.0 ** math.floor(math.log10(top / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if step * factor * 5 >= top)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def span(line: Metric) -> Span | None:
    """A metric's interval beside the published value; None for a metric without an interval."""
    if line.value is None or line.ci_low is None or line.ci_high is None:
        return None
    known = [line.ci_low, line.ci_high] + ([line.published] if line.published is not None else [])
    low, high = min(known), max(known)
    margin = max(0.1, 0.15 * (high - low))

    def at(value: float) -> float:
        return 100 * (value - low + margin) / (high - low + 2 * margin)

    published = at(line.published) if line.published is not None else None
    return Span(at(line.ci_low), at(line.ci_high), at(line.value), published)


def difference_span(low: float, high: float, value: float, most: float | None = None) -> Span:
    """An interval of a difference on a scale with zero in the middle, which is `published`.

    Args:
        low: its lower end.
        high: its upper end.
        value: the difference.
        most: the largest that the scale shows; None: the ends of this interval.
    """
    reach = 1.15 * max(max(abs(low), abs(high)) if most is None else most, 1e-9)
    at = [50 + 50 * x / reach for x in (low, high, value)]
    return Span(at[0], at[1], at[2], 50.0)


def histogram(found: Scan) -> Plot:
    """How sure the network was, right and wrong predictions on top of each other."""
    parts = [("right", found.right), ("wrong", found.wrong), ("unlabeled", found.unlabeled)]
    parts = [(kind, counts) for kind, counts in parts if counts.any()]
    totals = sum((counts for _, counts in parts), start=0 * found.right)
    ticks = nice_ticks(max(1, int(totals.max())))
    plot = Plot(
        label="Images by the probability of their first prediction",
        x_ticks=_unit_ticks(),
        y_ticks=[Tick(100 * t / ticks[-1], f"{t:,.0f}") for t in ticks if t == int(t)],
        x_name="probability",
        y_name="images",
        header=("probability", *(kind for kind, _ in parts)),
        rows=[],
    )
    for i in range(BINS):
        name = f"{i / BINS:.2f} to {(i + 1) / BINS:.2f}"
        bottom = 0.0
        for kind, counts in parts:
            top = bottom + 100 * int(counts[i]) / ticks[-1]
            title = f"{name}: {counts[i]:,} {kind}"
            plot.bars.append(Bar(100 * i / BINS, 100 / BINS, bottom, top, kind, title))
            bottom = top
        plot.rows.append((name, *(f"{counts[i]:,}" for _, counts in parts)))
    return plot


def reliability(calibration: pa.Table, linked: Container[int] = ()) -> Plot:
    """How often predictions of a probability were right, with 95 % Wilson intervals.

    Args:
        calibration: the metrics table.
        linked: numbers of the bins whose images the page shows, as `#binN`.
    """
    plot = Plot(
        label="Accuracy by the probability of the first prediction, beside the diagonal of a "
        "network that is as sure as it is right",
        x_ticks=_unit_ticks(),
        y_ticks=_unit_ticks(),
        x_name="probability",
        y_name="share that is right",
        header=("probability", "images", "mean", "accuracy", "95 % interval"),
        rows=[],
        lines=[Line(0, 0, 100, 100, "diagonal")],
    )
    for number, row in enumerate(calibration.to_pylist()):
        link = f"bin{number}" if number in linked else None
        plot.links.append(link)
        name = f"{row['bin_low']:.2f} to {row['bin_high']:.2f}"
        if not row["n"]:
            plot.rows.append((name, "0", "", "", ""))
            continue
        low, high = wilson(row["accuracy"] * row["n"], row["n"])
        x, y = 100 * row["confidence"], 100 * row["accuracy"]
        numbers = (f"{row['n']:,}", f"{row['confidence']:.3f}", f"{row['accuracy']:.3f}")
        title = f"{name}: {numbers[0]} images, mean {numbers[1]}, accuracy {numbers[2]}"
        plot.lines.append(Line(x, 100 * low, x, 100 * high, "whisker"))
        plot.lines.append(Line(x, y, x, y, "dot", title, link))
        plot.rows.append((name, *numbers, f"{low:.3f} to {high:.3f}"))
    return plot


def thresholds(curve: pa.Table) -> Plot:
    """Accuracy of the images whose first prediction has at least some probability, and how many.

    Args:
        curve: metrics/risk_coverage, by rising coverage, so by falling threshold.
    """
    points = [
        (100 * row["threshold"], 100 * (1 - row["risk"]), 100 * row["coverage"])
        for row in curve.to_pylist()
    ]
    steps = dict.fromkeys(
        next(i for i, point in enumerate(points) if point[2] >= share - 1e-6 or point is points[-1])
        for share in range(_COVERAGE_STEP, 101, _COVERAGE_STEP)
    )
    return Plot(
        label="Accuracy of the images whose first prediction has at least a probability, and "
        "their share of all labeled images",
        x_ticks=_unit_ticks(),
        y_ticks=[Tick(20 * i, f"{20 * i} %") for i in range(6)],
        x_name="least probability",
        y_name="",
        header=("images kept", "least probability", "accuracy"),
        rows=[
            (f"{points[i][2]:.1f} %", f"{points[i][0] / 100:.3f}", f"{points[i][1]:.2f} %")
            for i in steps
        ],
        curves=[
            Curve([(x, kept) for x, _, kept in points], "kept"),
            Curve([(x, accuracy) for x, accuracy, _ in points], "accuracy"),
        ],
    )


def throughput(recorded: dict[str, Any] | None) -> Plot | None:
    """Images a second over time, pauses of an interrupted run cut out.

    Args:
        recorded: `throughput` of run.json.

    Returns:
        None for a run that was too short for a chart.
    """
    if not recorded:
        return None
    interval = float(recorded["interval_seconds"])
    moments = [(float(second), int(images)) for second, images in recorded["images"]]
    lasted = moments[-1][0] + interval
    moments, pauses = _without_pauses(moments, interval, max(_PAUSE, 2 * lasted / _BARS))
    width = _bar_width(moments, interval)
    count = int(moments[-1][0] // width) + 1
    if count < _FEWEST_BARS:
        return None
    rates = [0.0] * count
    for second, images in moments:
        rates[int(second // width)] += images
    # the last bar lasts as long as the run did
    seconds = [width] * (count - 1) + [moments[-1][0] + interval - width * (count - 1)]
    rates = [images / time for images, time in zip(rates, seconds, strict=True)]
    ticks = nice_ticks(max(rates))
    unit, name = _time_unit(width * count)
    end = width * count / unit
    plural = "s" if pauses != 1 else ""
    paused = f", {pauses} pause{plural} left out" if pauses else ""
    return Plot(
        label=f"Images a second over the time of the run{paused}",
        x_ticks=[Tick(100 * t / end, f"{t:g} {name}") for t in nice_ticks(end) if t <= end],
        y_ticks=[Tick(100 * t / ticks[-1], f"{t:,g}") for t in ticks],
        x_name="time since the first image",
        y_name="images/s",
        header=(f"from {name}", "images/s"),
        rows=[(f"{i * width / unit:g}", f"{rate:.1f}") for i, rate in enumerate(rates)],
        bars=[
            Bar(
                left=100 * i / count,
                width=100 / count,
                bottom=0,
                top=100 * rate / ticks[-1],
                kind="right",
                title=f"from {i * width / unit:g} {name}: {rate:.1f} images/s",
            )
            for i, rate in enumerate(rates)
        ],
    )


def _bar_width(moments: Sequence[tuple[float, int]], interval: float) -> float:
    """Seconds of a bar: few bars, and in each several of the chunks that come in now and then."""
    intervals = moments[-1][0] / interval + 1
    apart = intervals / len(moments)
    chunks = _CHUNKS_A_BAR if apart > _STEADY else 1
    return interval * math.ceil(max(intervals / _BARS, chunks * apart))


def _without_pauses(
    moments: Sequence[tuple[float, int]], interval: float, pause: float
) -> tuple[list[tuple[float, int]], int]:
    """The moments with gaps longer than `pause` closed, and how many there were."""
    shift, pauses = 0.0, 0
    moved: list[tuple[float, int]] = []
    for (second, images), (before, _) in zip(moments, [moments[0], *moments[:-1]], strict=True):
        if second - before > pause:
            shift += second - before - interval
            pauses += 1
        moved.append((second - shift, images))
    return moved, pauses


def _time_unit(seconds: float) -> tuple[float, str]:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 3 * size:
            return size, name
    return 1.0, "s"


def _unit_ticks() -> list[Tick]:
    return [Tick(20 * i, f"{i / 5:g}") for i in range(6)]
