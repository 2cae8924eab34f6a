"""The command that tells how far a run is."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from vggbatch.cli import console


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Folder or URI of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how far a run is, from its output alone and from any machine."""
    from vggbatch.pipeline.status import read_status
    from vggbatch.storage import Folder

    found = read_status(Folder(output))
    if as_json:
        console.out.print(json.dumps(asdict(found)), markup=False, soft_wrap=True)
        return
    share = f" ({found.rows / found.total:.1%})" if found.total else ""
    facts = [
        ("state", found.state),
        ("images", f"{found.rows:,} of {found.total:,}{share}"),
        ("errors", f"{found.errors:,}"),
    ]
    if found.images_per_second is not None:
        facts.append(("rate", f"{found.images_per_second:.1f} images/s"))
    if found.seconds_left is not None:
        facts.append(("left", console.duration(found.seconds_left)))
    if found.holder is not None:
        facts.append(("by", f"{found.holder}, last heard of {found.silence:.0f} s ago"))
    if found.state == "interrupted":
        facts.append(("next", "run the same command again: it does what is left"))
    console.facts(facts)
