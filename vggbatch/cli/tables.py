"""Metrics and comparisons on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vggbatch.metrics.comparison.compare import Comparison
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
        table = _table("metric", *_heads(published))
        table.title, table.title_justify = escape(result.name), "left"
        for line in result.metrics:
            table.add_row(*_cells(line, published))
        shown += [table, *(Text(f"{result.name}: {note}") for note in result.notes), Text()]
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
        table = _table("profile", "metric", *_heads(published))
        table.columns[0].no_wrap = True
        table.title, table.title_justify = escape(name), "left"
        notes = []
        for profile, evaluation in evaluations.items():
            result = evaluation.results[i]
            for line in result.metrics:
                if line.metric in _HEADLINES:
                    table.add_row(escape(profile), *_cells(line, published))
            notes += [Text(f"{name}, {profile}: {note}") for note in result.notes]
        notes += [Text(f"{name}: {found.in_words()}") for found in best if found.label_set == name]
        shown += [table, *notes, Text()]
    return Group(*shown[:-1])


def render_comparison(
    comparison: Comparison, names: tuple[str, str], class_lines: Sequence[str], limit: int
) -> RenderableType:
    """Accuracies side by side, agreement, and the first classes and images where the runs part.

    Args:
        comparison: of the runs.
        names: what to call them.
        class_lines: the network's classes.
        limit: classes and images to show.
    """
    legend = Text(f"a: {names[0]}\nb: {names[1]}")
    shown: list[RenderableType] = [legend, _facts(comparison)]
    if comparison.accuracies:
        shown.append(_accuracies(comparison))
    if comparison.movers.num_rows and limit:
        shown.append(_movers(comparison, limit))
    if comparison.differences.num_rows and limit:
        shown.append(_parted(comparison, class_lines, limit))
    return Group(*shown)


def _facts(comparison: Comparison) -> Table:
    grid = Table.grid(padding=(0, 2))
    how = " (paired by file name)" if comparison.paired_by_file_name else ""
    grid.add_row("images in both", f"{comparison.images:,}{how}")
    for run, count in (("a", comparison.only_in_a), ("b", comparison.only_in_b)):
        if count:
            grid.add_row(f"only in {run}", f"{count:,}, not compared")
    for run, count in (("a", comparison.failed_a), ("b", comparison.failed_b)):
        if count:
            grid.add_row(f"not scored by {run} alone", f"{count:,}")
    if comparison.failed_both:
        grid.add_row("not scored by either", f"{comparison.failed_both:,}")
    if comparison.label_conflicts:
        grid.add_row("other label in b", f"{comparison.label_conflicts:,}, that of a is used")
    if comparison.agreement is not None and comparison.agreement_ci is not None:
        low, high = comparison.agreement_ci
        grid.add_row("same first class", f"{comparison.agreement:.2f} % ({low:.2f} - {high:.2f})")
    if comparison.mean_largest_difference is not None:
        text = f"mean {comparison.mean_largest_difference:.5f}"
        grid.add_row(
            "largest difference of a probability",
            f"{text}, at most {comparison.largest_difference:.5f}",
        )
    return grid


def _accuracies(comparison: Comparison) -> Table:
    table = _table(
        "accuracy %", "a", "b", "b - a", "95 % interval", "only a", "only b", "p", "mid-p"
    )
    for line in comparison.accuracies:
        table.add_row(
            line.metric,
            f"{line.a:.2f}",
            f"{line.b:.2f}",
            f"{line.difference:+.2f}",
            f"{line.ci_low:+.2f} - {line.ci_high:+.2f}",
            f"{line.only_a:,}",
            f"{line.only_b:,}",
            f"{line.p_value:.3g}",
            f"{line.mid_p_value:.3g}",
        )
    return table


def _movers(comparison: Comparison, limit: int) -> Table:
    table = _table(
        f"class (of {comparison.movers.num_rows:,} that moved)",
        "n",
        "a",
        "b",
        "b - a",
        "p adjusted",
    )
    for row in comparison.movers.slice(0, limit).to_pylist():
        table.add_row(
            escape(f"{row['wnid']} {row['name']}"),
            f"{row['n']:,}",
            f"{row['top1_a']:.1f}",
            f"{row['top1_b']:.1f}",
            f"{row['difference']:+.1f}",
            f"{row['p_adjusted']:.3g}",
        )
    return table


def _parted(comparison: Comparison, class_lines: Sequence[str], limit: int) -> Table:
    table = _table(f"image (of {comparison.differences.num_rows:,} that differ)")
    table.add_column("a", overflow="fold")
    table.add_column("b", overflow="fold")
    for row in comparison.differences.slice(0, limit).to_pylist():
        cells = []
        for run in ("a", "b"):
            index = row[f"index_{run}"]
            if index is None:
                cells.append("error")
                continue
            name = class_lines[index].partition(" ")[2].partition(",")[0]
            mark = {True: " (right)", False: "", None: ""}[row[f"right_{run}"]]
            cells.append(escape(f"{name} {row[f'probability_{run}']:.2f}{mark}"))
        table.add_row(escape(row["image_id"]), *cells)
    return table


def _table(first: str, *numbers: str) -> Table:
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
