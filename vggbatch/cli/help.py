"""How the help of all commands looks: paragraphs that wrap, and no types where a name says more."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup


class _Plain:
    """Shows neither `<bool>` at a flag nor `<list[str]>` at an argument."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
            elif isinstance(param, TyperArgument):
                param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        return params


class Group(_Plain, TyperGroup):
    """A command that has others."""


class _Command(_Plain, TyperCommand):
    """One of them."""


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["[bold]Examples[/]", *(f"  {line}" for line in lines)])


def polish(app: typer.Typer) -> None:
    """Make an app's commands show their help so.

    Args:
        app: made with `cls=Group`, its commands registered.
    """
    for command in app.registered_commands:
        command.cls = _Command
        # a line break inside a paragraph of a docstring is none in the help
        text = inspect.cleandoc(getattr(command.callback, "__doc__", None) or "")
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
