"""The command that takes images out of an output."""

from __future__ import annotations

from typing import Annotated

import typer

from vggbatch.cli import console, options


def forget(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output of a finished run.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE...", help="Image ids, as the rows have them."),
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option("--list", metavar="FILE", help="File or URI with an image id on each line."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Remove images from a finished output: from rows, features, metrics and pages.

    Only the files that have them are written again. Other outputs, the input and copies of the
    output are not touched. In run.json a count remains.
    """
    from vggbatch import api
    from vggbatch.errors import UsageError

    console.configure(as_json=as_json)
    names = [*(images or ()), *(_lines(listing) if listing else ())]
    if not names:
        raise UsageError("no image named: give image ids, or a file of them with --list")
    with console.interruptible():
        removed = api.forget(output, names)
    counts = {"named": len(set(names)), "removed": removed}
    shown = [("named", f"{counts['named']:,}"), ("removed", f"{removed:,}"), ("output", output)]
    console.result({"output": output, **counts}, lambda: console.facts(shown))


def _lines(uri: str) -> list[str]:
    from vggbatch.bounded import read_bounded
    from vggbatch.errors import UsageError
    from vggbatch.storage.filesystem import filesystem

    fs, path = filesystem(uri)
    try:
        text = read_bounded(fs, path, _MOST).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {uri}: {error}") from None
    return [line for line in text.splitlines() if line]


_MOST = 2**28
"""Bytes of a list: some millions of images."""
