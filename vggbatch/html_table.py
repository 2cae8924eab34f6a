"""Short HTML of results, as notebooks show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def as_html(rows: Iterable[Sequence[object]], heads: Sequence[str] = (), caption: str = "") -> str:
    """A table whose first column is text; the others are aligned like numbers.

    Args:
        rows: cells; None is an empty one.
        heads: of the columns.
        caption: above it.
    """
    parts = ["<table>"]
    if caption:
        parts.append(f'<caption style="text-align:left">{escape(caption)}</caption>')
    if heads:
        parts.append(f"<thead>{_row(heads, 'th')}</thead>")
    parts += ["<tbody>", *(_row(row, "td") for row in rows), "</tbody></table>"]
    return "".join(parts)


def link(uri: str, text: str) -> str:
    """A link to a file beside the notebook, or below an address; text where it is neither."""
    if _SCHEME.match(uri) and not uri.startswith(("http://", "https://")):
        return escape(text)
    return f'<a href="{escape(uri)}" target="_blank">{escape(text)}</a>'


def _row(cells: Sequence[object], tag: str) -> str:
    shown = ("" if cell is None else escape(str(cell)) for cell in cells)
    return "<tr>{}</tr>".format(
        "".join(
            f'<{tag} style="text-align:{"right" if number else "left"}">{cell}</{tag}>'
            for number, cell in enumerate(shown)
        )
    )
