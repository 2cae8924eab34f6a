"""The command that looks at what a run on this machine depends on, for a bug report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vggbatch.cli import console, options
from vggbatch.errors import JobFailed

if TYPE_CHECKING:
    from vggbatch.api.diagnosis import Diagnosis


def doctor(
    stores: Annotated[
        list[str] | None,
        typer.Argument(metavar="URI", help="Folders or URIs to list, such as s3://bucket/x."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Also write a small file to each, and delete it.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show versions, cores, memory, cache and stores, for a bug report; secrets are left out.

    Exit status 1 if something does not work.
    """
    from vggbatch import api

    console.configure(as_json=as_json)
    found = api.diagnose(stores or (), write=write)
    console.result(found.to_json(), lambda: _show(found))
    if found.problems:
        for problem in found.problems[:-1]:
            console.warning(problem)
        raise JobFailed(found.problems[-1])


def _show(found: Diagnosis) -> None:
    console.facts([("vggbatch", found.vggbatch)])
    subjects = {
        "machine": found.machine,
        "packages": found.packages,
        "onnxruntime": found.onnxruntime,
        "model cache": found.cache,
        "environment": found.environment,
        "stores": found.stores,
    }
    for subject, facts in subjects.items():
        if facts:
            console.out.print(f"\n[bold]{subject}[/]")
            console.facts((f"  {name}", value) for name, value in facts.items())
