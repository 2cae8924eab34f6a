"""The page about many runs: a table of their accuracies and differences."""

from __future__ import annotations

from vggbatch.metrics.comparison.leaderboard import Entry, Leaderboard
from vggbatch.report import charts
from vggbatch.report.page import render
from vggbatch.storage.filesystem import write_file


def write_leaderboard(board: Leaderboard, uri: str) -> None:
    """Write the page to a file.

    Raises:
        UsageError: the place cannot be written to.
    """
    write_file(uri, leaderboard_page(board).encode())


def leaderboard_page(board: Leaderboard) -> str:
    """The page as HTML."""
    return render(
        "leaderboard.html",
        board=board,
        entries=[(entry, _span(entry, board)) for entry in board.ranked],
    )


def _span(entry: Entry, board: Leaderboard) -> charts.Span | None:
    """The interval of a difference, all on one scale."""
    ends = [
        abs(end)
        for other in board.entries
        if other.against is not None
        for end in (other.against.ci_low, other.against.ci_high)
        if end is not None
    ]
    found = entry.against
    if found is None or found.difference is None or found.ci_low is None or found.ci_high is None:
        return None
    return charts.difference_span(found.ci_low, found.ci_high, found.difference, max(ends))
