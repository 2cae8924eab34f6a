"""Draws docs/speed.svg: images per second of each system, from a table of docs/speed.md.

    python -m benchmarks.chart

The colors are readable on light and on dark pages.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, CHART = ROOT / "docs/speed.md", ROOT / "docs/speed.svg"
TABLE = "1,000 images, int8"
"""The first cell of the table; its second column is the rate of the whole command."""

_TEXT, _OWN, _OTHER = "#768390", "#316dca", "#8b949e"
_LINE, _LEFT, _WIDTH, _UNIT = 34, 345, 800, 15
"""Pixels: height of a line, where bars begin, width of the picture, one image per second."""


def rates(page: str) -> dict[str, float]:
    """Images per second by system, in the order of the page's table.

    Args:
        page: Markdown that has the table.
    """
    found = {}
    rows = page.partition(f"| {TABLE} |")[2].partition("\n\n")[0].splitlines()[2:]
    for row in rows:
        name, whole = (cell.strip() for cell in row.strip("| ").split("|")[:2])
        if re.fullmatch(r"[\d.]+", whole):
            found[name] = float(whole)
    return found


def draw(found: dict[str, float], caption: str) -> str:
    """The chart as SVG.

    Args:
        found: images per second by system; the first is vggbatch.
        caption: machine and date.
    """
    height = 58 + _LINE * len(found) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" font-family="system-ui, sans-serif" '
        f'font-size="15" fill="{_TEXT}">',
        "<title>Images per second, whole command</title>",
        '<text x="0" y="22" font-size="17" font-weight="600">Images per second, from the start of '
        "the command to the last row</text>",
    ]
    for number, (name, rate) in enumerate(found.items()):
        top = 44 + number * _LINE
        own = number == 0
        weight = ' font-weight="700"' if own else ""
        parts += [
            f'<text x="{_LEFT - 12}" y="{top + 18}" text-anchor="end"{weight}>'
            f"{escape(name)}</text>",
            f'<rect x="{_LEFT}" y="{top}" width="{rate * _UNIT:.0f}" height="24" rx="4" '
            f'fill="{_OWN if own else _OTHER}"/>',
            f'<text x="{_LEFT + rate * _UNIT + 8:.0f}" y="{top + 18}"{weight}>{rate:.1f}</text>',
        ]
    parts += [f'<text x="0" y="{height - 8}" font-size="13">{escape(caption)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the chart again."""
    CHART.write_text(chart())


def chart() -> str:
    """The chart that belongs to the page as it is."""
    page = PAGE.read_text()
    [caption] = re.findall(r"^<!-- chart: (.*) -->$", page, re.MULTILINE)
    return draw(rates(page), caption)


if __name__ == "__main__":
    main()
