"""Comparisons on the terminal: of two runs, and of many."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggbatch.cli.one_line import cell, legend
from vggbatch.cli.tables import plain_table
from vggbatch.metrics.comparison.compare import Comparison
from vggbatch.metrics.comparison.leaderboard import Leaderboard


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
    runs = legend(f"{run}: {name}" for run, name in zip("ab", names, strict=True))
    shown: list[RenderableType] = [runs, _facts(comparison)]
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
    if comparison.both_wrong:
        text = (
            f"{comparison.both_wrong:,}, of which {comparison.both_wrong_differently:,} differently"
        )
        grid.add_row("wrong in both", text)
    if comparison.ece_a is not None and comparison.ece_b is not None:
        change = comparison.ece_b - comparison.ece_a
        grid.add_row(
            "calibration error",
            f"{comparison.ece_a:.4f}, {comparison.ece_b:.4f} ({change:+.4f})",
        )
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
    table = plain_table("%", "a", "b", "b - a", "95 % interval", "only a", "only b", "p", "mid-p")
    table.padding = (0, 1, 0, 0)  # nine columns in eighty
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
    table = plain_table(
        f"class (of {comparison.movers.num_rows:,} that moved)",
        "n",
        "a",
        "b",
        "b - a",
        "p adjusted",
    )
    for row in comparison.movers.slice(0, limit).to_pylist():
        table.add_row(
            cell(f"{row['wnid']} {row['name']}"),
            f"{row['n']:,}",
            f"{row['top1_a']:.1f}",
            f"{row['top1_b']:.1f}",
            f"{row['difference']:+.1f}",
            f"{row['p_adjusted']:.3g}",
        )
    return table


def _parted(comparison: Comparison, class_lines: Sequence[str], limit: int) -> Table:
    table = plain_table(f"image (of {comparison.differences.num_rows:,} that differ)")
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
            cells.append(cell(f"{name} {row[f'probability_{run}']:.2f}{mark}"))
        table.add_row(cell(row["image_id"]), *cells)
    return table


def render_leaderboard(board: Leaderboard) -> RenderableType:
    """The runs, the best first, and below how far each is from the first that was named."""
    runs = legend(f"{entry.run}: {entry.output}" for entry in board.entries)
    shown: list[RenderableType] = [runs, _standings(board)]
    shown.append(_differences(board) if board.labeled else _agreements(board))
    return Group(*shown, *map(Text, board.notes))


def _standings(board: Leaderboard) -> Table:
    table = plain_table("", "model", "profile", "top-1 %", "95 % interval", "images", "images/s")
    table.columns[1].justify, table.columns[1].no_wrap = "left", False
    table.columns[1].overflow = "fold"
    table.columns[2].justify = "left"
    for entry in board.ranked:
        accuracy = ("-", "")
        if entry.top1 is not None:
            accuracy = (f"{entry.top1:.2f}", f"{entry.ci_low:.2f} - {entry.ci_high:.2f}")
        rate = entry.images_per_second
        table.add_row(
            str(entry.run),
            cell(entry.model.rsplit("/", 1)[-1]),
            cell(entry.profile or "-"),
            *accuracy,
            f"{entry.n:,}",
            "-" if rate is None else f"{rate:,.1f}",
        )
    return table


def _differences(board: Leaderboard) -> Table:
    heads = ("- run 1", "95 % interval", "only 1", "only it", "p", "mid-p", "p *", "mid-p *")
    table = plain_table("", *heads)
    table.padding = (0, 1, 0, 0)  # else nine columns are wider than a terminal
    for entry in board.ranked:
        found = entry.against
        if found is None:
            continue
        if found.difference is None:
            table.add_row(str(entry.run), "no labels")
            continue
        ps = (found.p_value, found.mid_p_value, found.p_holm, found.mid_p_holm)
        table.add_row(
            str(entry.run),
            f"{found.difference:+.2f}",
            f"{found.ci_low:+.2f} - {found.ci_high:+.2f}",
            f"{found.only_first:,}",
            f"{found.only_this:,}",
            *(f"{p:.2g}" for p in ps),
        )
    return table


def _agreements(board: Leaderboard) -> Table:
    table = plain_table("", "images in both", "same first class as 1", "95 % interval")
    for entry in board.ranked:
        found = entry.against
        if found is None or found.agreement is None or found.agreement_ci is None:
            continue
        low, high = found.agreement_ci
        share = (f"{found.agreement:.2f} %", f"{low:.2f} - {high:.2f}")
        table.add_row(str(entry.run), f"{found.images:,}", *share)
    return table
