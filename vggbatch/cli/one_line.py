"""Texts from outside, such as names of files, each on one line and with all that is in it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.text import Text

from vggbatch.text import printable, without_secrets


def shown(text: str) -> str:
    """A text without what a terminal would act on, and without what is secret in it."""
    return printable(without_secrets(text), keep="")


def cell(text: str) -> str:
    """The same where rich reads markup: in messages and cells of tables."""
    return escape(shown(text))


def legend(lines: Iterable[str]) -> Text:
    """Several, one below the other, to stand among tables."""
    return Text("\n").join(Text(shown(line)) for line in lines)
