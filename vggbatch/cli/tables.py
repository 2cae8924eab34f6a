"""Metrics on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggbatch.cli.one_line import cell, legend
from vggbatch.metrics.evaluate import Evaluation
from vggbatch.metrics.nearest import nearest
from vggbatch.metrics.summary import Metric

_HEADLINES = ("top1", "top5")
_PUBLISHED = ("published", "delta")
"""Shown where there is a published value to stand beside."""


def render(evaluation: Evaluation) -> RenderableType:
    """A table for each label set, one row a metric, with what must be known about it below."""
    shown: list[RenderableType] = []
    published = _published(evaluation)
    for result in evaluation.results:
        table = plain_table("metric", *_heads(published))
        table.title, table.title_justify = cell(result.name), "left"
        for line in result.metrics:
            table.add_row(*_cells(line, published))
        shown += [table, *(legend([f"{result.name}: {note}"]) for note in result.notes), Text()]
    return Group(*shown[:-1])


def render_profiles(evaluations: Mapping[str, Evaluation]) -> RenderableType:
    """A table for each label set with the accuracies of all profiles, and all notes below.

    Among them which profile comes nearest to the published accuracy.
    """
    [first, *_] = evaluations.values()
    published = any(map(_published, evaluations.values()))
    best = nearest({profile: found.metrics for profile, found in evaluations.items()})
    shown: list[RenderableType] = []
    for i, name in enumerate(result.name for result in first.results):
        table = plain_table("profile", "metric", *_heads(published))
        table.columns[0].no_wrap = True
        table.title, table.title_justify = cell(name), "left"
        notes = []
        for profile, evaluation in evaluations.items():
            result = evaluation.results[i]
            for line in result.metrics:
                if line.metric in _HEADLINES:
                    table.add_row(cell(profile), *_cells(line, published))
            notes += [legend([f"{name}, {profile}: {note}"]) for note in result.notes]
        notes += [
            legend([f"{name}: {found.in_words()}"]) for found in best if found.label_set == name
        ]
        shown += [table, *notes, Text()]
    return Group(*shown[:-1])


def plain_table(first: str, *numbers: str) -> Table:
    """A table with a first column that folds, and columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _published(evaluation: Evaluation) -> bool:
    lines = (line for result in evaluation.results for line in result.metrics)
    return any(line.published is not None for line in lines)


def _heads(published: bool) -> tuple[str, ...]:
    return ("value", "95 % interval", "images", *(_PUBLISHED if published else ()))


def _cells(line: Metric, with_published: bool) -> list[str]:
    value, interval = "-", ""
    if line.value is not None:
        value = line.shown(line.value)
    if line.ci_low is not None and line.ci_high is not None:
        interval = f"{line.shown(line.ci_low)} - {line.shown(line.ci_high)}"
    cells = [f"{line.metric} {line.unit}".rstrip(), value, interval, f"{line.n:,}"]
    if not with_published:
        return cells
    published = "" if line.published is None else f"{line.published:.2f}"
    delta = "" if line.published_delta is None else f"{line.published_delta:+.2f}"
    if line.flagged:
        delta = f"[yellow]! {delta}[/yellow]"
    return [*cells, published, delta]
