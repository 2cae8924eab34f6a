"""The command that packs loose images into shards."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vggbatch.cli import completion, console, options
from vggbatch.errors import JobFailed


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
    from vggbatch.config import load_config, load_label_options
    from vggbatch.output.ownership.lease import OutputLease
    from vggbatch.sources import pack as packing
    from vggbatch.sources.input_warnings import input_warnings_of
    from vggbatch.storage.filesystem import Folder

    console.configure(quiet=quiet)

    totals = packing.ImageBuffer()
    with OutputLease(Folder(output)) as lease:
        for totals in packing.pack(
            inputs,
            output,
            shard_format=shard_format.value,
            shard_size=shard_mb * 10**6,
            max_bytes=load_config().decode.max_bytes,
            columns=load_label_options(settings or ()).columns,
            writer=lease.fence,
        ):
            shards = console.plural(totals.shards, "shard")
            images = console.plural(totals.images, "image")
            console.note(f"{shards}, {images}, {totals.size / 1e6:,.1f} MB")
    for kind in input_warnings_of(totals.left_out):
        console.note(f"not packed: {kind}")
    for line in totals.unread[:3]:
        console.warning(line)
    if totals.unread or not totals.images:
        raise JobFailed(f"{len(totals.unread)} images could not be read and are in no shard")
    console.line(output)
