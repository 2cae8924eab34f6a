"""Pages of the reference, made from the code: commands, settings, functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

import vggbatch
from vggbatch.cli import app
from vggbatch.config.describe import Setting, section_meanings, settings

_NO_MEMBERS = "\n    options: {members: false}"
"""Of the settings, which have a page of their own."""


def pages() -> dict[str, str]:
    """Markdown of each page by its path below docs/."""
    return {
        "reference/commands.md": commands(),
        "reference/configuration.md": configuration(),
        "reference/python.md": python(),
    }


def commands() -> str:
    """Every command with its arguments and options."""
    parts = ["# Commands", "What `vggbatch COMMAND --help` shows."]
    for name, command in _walk(typer.main.get_command(app), "vggbatch"):
        parts.append(f"## {name}")
        parts.append(_plain(command.help or ""))
        context = typer.Context(command, info_name=name)
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        parts.append(f"```text\n{usage}\n```")
        rows = [
            f"| {_code(spelled)} | {_cell(meaning)} |"
            for param in command.get_params(context)
            if (record := param.get_help_record(context)) is not None
            for spelled, meaning in [record]
        ]
        parts.append("\n".join(["| option | |", "| --- | --- |", *rows]))
        if command.epilog:
            lines = _plain(command.epilog).splitlines()[1:]
            parts.append("\n".join(["```text", *map(str.strip, lines), "```"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def configuration() -> str:
    """Every setting, section by section."""
    found = settings()
    parts = [
        "# Configuration",
        "What `vggbatch config` shows. A setting is a key of the YAML file that `--config` names, "
        "the environment variable `VGGBATCH_KEY` with two underscores for a dot, or `--set "
        "KEY=VALUE`; what comes later in this order counts. Most have an option of their own.",
        "In an editor, `# yaml-language-server: $schema=job.schema.json` as the first line of a "
        "file completes and checks it; `vggbatch config --schema` writes the schema.",
        _table([one for one in found if "." not in one.key]),
    ]
    for section, meaning in section_meanings().items():
        inside = [one for one in found if one.key.startswith(f"{section}.")]
        parts += [f"## {section}", meaning, _table(inside)]
    return "\n\n".join(parts) + "\n"


def python() -> str:
    """The functions and classes of the package; their docstrings are filled in by mkdocstrings."""
    api = [name for name in vggbatch.__all__ if name != "__version__"]
    names = sorted(api, key=lambda name: (name[0].isupper(), name))
    head = "# Python API\n\nWhat `import vggbatch` offers. The options of a job are the [settings]"
    parts = [f"::: {_home(getattr(vggbatch, name))}" for name in names]
    parts = [part + _NO_MEMBERS * part.endswith(".JobConfig") for part in parts]
    return "\n\n".join([f"{head}(configuration.md).", *parts]) + "\n"


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The commands that do something, with their whole names."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield name, command
        return
    for key, one in inside.items():
        yield from _walk(one, f"{name} {key}")


def _home(thing: Any) -> str:
    """Where a function or class is defined."""
    return f"{thing.__module__}.{thing.__qualname__}"


def _table(rows: list[Setting]) -> str:
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    for one in rows:
        cells = (_code(one.key), _cell(one.type), _code(one.default), _cell(one.meaning))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text without rich's markup."""
    return re.sub(r"\[/?(?:bold|dim|italic)\]|\[/\]", "", text)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(_plain(text).split()).replace("|", "\\|")
