"""The metrics on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vggbatch.metrics.evaluate import Evaluation
from vggbatch.metrics.summary import Metric

_PERCENT = ("top1", "top5", "mean_per_class_top1", "top1_at_most", "top5_at_most")


def render(evaluation: Evaluation) -> RenderableType:
    """A table for each label set, one row a metric, with what must be known about it below."""
    shown: list[RenderableType] = []
    for result in evaluation.results:
        table = Table(
            title=escape(result.name),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
        )
        table.add_column("metric", no_wrap=True)
        for name in ("value", "95 % interval", "images", "published", "delta"):
            table.add_column(name, justify="right", no_wrap=True)
        for line in result.metrics:
            table.add_row(*_cells(line))
        shown += [table, *(Text(f"{result.name}: {note}") for note in result.notes)]
    return Group(*shown)


def _cells(line: Metric) -> list[str]:
    value, interval = "-", ""
    if line.value is not None:
        value = _number(line.metric, line.value)
    if line.ci_low is not None and line.ci_high is not None:
        interval = f"{_number(line.metric, line.ci_low)} - {_number(line.metric, line.ci_high)}"
    published = "" if line.published is None else f"{line.published:.2f}"
    delta = "" if line.published_delta is None else f"{line.published_delta:+.2f}"
    if line.flagged:
        delta = f"[yellow]! {delta}[/yellow]"
    unit = " %" if line.metric in (*_PERCENT, "error_rate") else ""
    return [line.metric + unit, value, interval, f"{line.n:,}", published, delta]


def _number(metric: str, value: float) -> str:
    if metric in _PERCENT:
        return f"{value:.2f}"
    if metric == "error_rate":
        return f"{100 * value:.3f}"
    return f"{value:.4f}"
