"""The table of a benchmark for the terminal and bench.txt."""

from __future__ import annotations

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vggbatch.bench.summary import Line, Speedup, Spread, Summary

_COLUMNS = ["", "whole images/s", "steady images/s", "per core", "first s", "peak MB", "top-1"]
_COLUMNS += ["x whole", "x steady"]
WIDTH = 124
"""Characters that the table needs."""
_TITLE_WIDTH = 22
DOUBTFUL = 0.99
"""Agreement below which a system's figures are marked: it computes something else."""


def render(summary: Summary) -> Group:
    """Tables by network, then what they belong to."""
    parts: list[Table | Text] = []
    for network in dict.fromkeys(line.network for line in summary.lines):
        title = f"{network}: {summary.facts['models'][network]['name']}"
        table = Table(*_COLUMNS, title=title, title_justify="left", box=None, pad_edge=False)
        for column in table.columns:
            column.justify, column.no_wrap = "right", True
        table.columns[0].justify, table.columns[0].min_width = "left", _TITLE_WIDTH
        for line in summary.lines:
            if line.network == network:
                table.add_row(*_cells(line))
        parts += [table, Text()]
    return Group(*parts, Text("\n".join(_notes(summary))))


def _cells(line: Line) -> list[str]:
    if not line.rounds:
        return [escape(line.title)]
    agreement = "" if line.agreement is None else f"{line.agreement:.1%}"
    if line.agreement is not None and line.agreement < DOUBTFUL:
        agreement = f"[red]{agreement} ![/]"
    return [
        escape(line.title),
        _spread(line.rate),
        _spread(line.steady),
        "" if line.per_core is None else _figure(line.per_core),
        "" if line.first_seconds is None else f"{line.first_seconds.median:.1f}",
        "" if line.peak_bytes is None else f"{line.peak_bytes.median / 1e6:,.0f}",
        agreement,
        _ratio(line.ours_whole),
        _ratio(line.ours_steady),
    ]


def _notes(summary: Summary) -> list[str]:
    facts = summary.facts
    machine = facts["machine"]
    rounds = max((line.rounds for line in summary.lines), default=0)
    lines = [
        f"{facts['images']:,} images ({facts['different_images']:,} different), medians of "
        f"{_rounds(rounds)} (smallest-largest), {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory'] / 2**30:.0f} GB",
        "whole: from the command to its end. steady: from 10 % to 90 % of the images.",
        "x: vggbatch's rate divided by the line's, on the same images, in the same rounds.",
        "first: seconds to the first prediction, vggbatch's to its first committed file.",
        "peak MB: PSS of all processes. top-1: same class as the plain loop.",
        "limit: cores / (inference core time of vggbatch's graph + decoding core time).",
        "Before the clocks: images written to a folder, networks made batchable for the peers and",
        f"prepared for vggbatch ({_prepared(summary)}); 'unprepared' prepares within its time.",
        "bare: crops ready, repeated for 2 to 20 s at the best batch.",
    ]
    lines += [
        f"{line.network}, {line.title}: {line.rounds} of {_rounds(rounds)}"
        for line in summary.lines
        if 0 < line.rounds < rounds
    ]
    lines += [
        f"{line.network}, {line.title} failed: {line.error}" for line in summary.lines if line.error
    ]
    lines += [
        f"{network}, {name}: onnxruntime is fastest with batch {best['batch']} in "
        f"{best['sessions']} session(s)"
        for network, systems in facts["fastest"].items()
        for name, best in systems.items()
    ]
    lines += [
        f"int8 against fp32, {name}: {_both(ratio)}, {facts['images']:,} images, "
        f"{_rounds(ratio.rounds)}"
        for name, ratio in summary.speedups().items()
    ]
    lines += [f"without {name}: {reason}" for name, reason in facts["left_out"].items()]
    return lines


def _rounds(number: int) -> str:
    return f"{number} round{'' if number == 1 else 's'}"


def _prepared(summary: Summary) -> str:
    """What preparing took, by network."""
    parts = []
    for label, model in summary.facts["models"].items():
        seconds = model["prepare_seconds"]
        parts.append(f"{label} {'in the cache' if seconds is None else f'{seconds:.1f} s'}")
    return ", ".join(parts)


def _both(ratio: Speedup) -> str:
    parts = [("whole", ratio.whole), ("steady", ratio.steady)]
    return ", ".join(f"{name} {value:.2f}" for name, value in parts if value is not None)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.low == spread.high:
        return _figure(spread.median)
    return f"{_figure(spread.median)} ({_figure(spread.low)}-{_figure(spread.high)})"


def _figure(value: float) -> str:
    """Three digits that count: 6.52, 27.3, 141, 1,234."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
