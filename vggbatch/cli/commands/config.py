"""The command that shows every setting: key, default, meaning, or JSON Schema for editors."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from vggbatch.cli import completion, console, options
from vggbatch.errors import UsageError

if TYPE_CHECKING:
    from vggbatch.config.describe import Setting

_INDENT = 4


def config(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY",
            autocompletion=completion.setting_names,
            help="Keys or sections, such as compute; all if none is given.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print JSON Schema of a configuration file.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show every setting with its default and meaning.

    A setting is a key of the file that --config names, `--set KEY=VALUE`, or the environment
    variable VGGBATCH_KEY with two underscores for a dot.
    """
    from vggbatch.config.describe import json_schema, settings

    console.configure(as_json=as_json)
    if schema:
        print(json.dumps(json_schema(), indent=2))
        return
    found = _chosen(settings(), keys or [])
    console.result([asdict(one) for one in found], lambda: _show(found))


def _chosen(found: list[Setting], keys: list[str]) -> list[Setting]:
    """The settings that are named, or are in a section that is."""
    chosen: list[Setting] = []
    for key in keys:
        here = [one for one in found if one.key == key or one.key.startswith(f"{key}.")]
        if not here:
            near = difflib.get_close_matches(key, [one.key for one in found], n=1, cutoff=0.0)[0]
            raise UsageError(f"no setting {key!r}: did you mean {near!r}?")
        chosen += [one for one in here if one not in chosen]
    return chosen if keys else found


def _show(found: list[Setting]) -> None:
    for one in found:
        line = Text.assemble((one.key, "bold"), f" = {one.default}", (f"   {one.type}", "dim"))
        console.out.print(line)
        console.out.print(Padding(Text(one.meaning), (0, 0, 0, _INDENT), expand=False))
