"""The command that shows how far a run is."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vggbatch.cli import console, options

if TYPE_CHECKING:
    from vggbatch.runs.progress.status import Status


_AT_WORK = ("running", "stalled", "finishing")
_EVERY_S = 5.0


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Folder or URI of a run.")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 5 s, as long as a run is at work.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show how far a run is, from its output alone and from any machine."""
    from vggbatch import api

    console.configure(as_json=as_json)
    found = api.status(output)
    with console.interruptible():
        while watch and found.state in _AT_WORK:
            console.result(asdict(found), lambda found=found: _show(found))  # type: ignore[misc]
            time.sleep(_EVERY_S)
            found = api.status(output)
    console.result(asdict(found), lambda: _show(found))


def _show(found: Status) -> None:
    total = console.about(found.total, exact=found.exact)
    share = f" ({found.rows / found.total:.1%})" if found.total else ""
    facts = [
        ("state", found.state),
        ("images", f"{found.rows:,} of {total}{share}"),
        ("errors", f"{found.errors:,}"),
    ]
    if found.origin is not None:
        facts.append(("is", found.origin))
    if found.adding is not None:
        facts.append(
            ("to come", f"{console.plural(found.adding, 'image')} scored and not added yet")
        )
    if found.executor is not None:
        facts.append(("executor", found.executor))
    if found.images_per_second is not None:
        facts.append(("rate", console.rate(found.images_per_second)))
    if found.seconds_left is not None:
        facts.append(("left", console.duration(found.seconds_left)))
    if found.waiting is not None:
        facts.append(("said", found.waiting))
    if found.holder is not None:
        heard = "" if found.silence is None else f", last heard of {found.silence:.0f} s ago"
        facts.append(("by", found.holder + heard))
    if found.state in ("interrupted", "damaged"):
        facts.append(("next", "run the same command again: it does what is left"))
    console.facts(facts)
