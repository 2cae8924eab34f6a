"""The command that packs loose images into shards."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vggbatch.cli import completion, console, options


class _Format(StrEnum):
    tar = "tar"
    parquet = "parquet"


def pack(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="As score takes them.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="SHARDS", help="Folder or URI for the shards.")
    ],
    shard_format: Annotated[
        _Format, typer.Option("--format", help="WebDataset tar, or Hugging Face's Parquet layout.")
    ] = _Format.tar,
    shard_mb: Annotated[
        int, typer.Option(metavar="MB", min=1, help="Megabytes of images in a shard, about.")
    ] = 256,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            autocompletion=completion.label_assignments,
            help="How INPUT is read: columns.file, columns.label, columns.bytes.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Pack images of any source into tar or Parquet shards of a given size.

    What was interrupted is continued by the same command, to the same bytes.
    """
    from vggbatch import api
    from vggbatch.config import load_label_options
    from vggbatch.sources.input_warnings import input_warnings_of
    from vggbatch.sources.pack import PackedTotals

    console.configure(quiet=quiet)
    last = PackedTotals()

    def show(totals: PackedTotals) -> None:
        nonlocal last
        last = totals
        shards = console.plural(totals.shards, "shard")
        images = console.plural(totals.images, "image")
        console.note(f"{shards}, {images}, {totals.size / 1e6:,.1f} MB")

    try:
        api.pack(
            inputs,
            output,
            shard_format=shard_format.value,
            shard_mb=shard_mb,
            columns=load_label_options(settings or ()).columns,
            on_progress=show,
        )
    finally:
        for kind in input_warnings_of(last.left_out):
            console.note(f"not packed: {kind}")
        for line in last.unread[1:4]:
            console.warning(line)
    console.line(output)
