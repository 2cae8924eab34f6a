"""Images of any source into shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vggbatch.api.locations import check_choice, texts
from vggbatch.config import ColumnOptions, Location, load_config
from vggbatch.config.load import validate
from vggbatch.errors import JobFailed, UsageError
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.sources.pack import PackedTotals, ShardFormat
from vggbatch.sources.pack import pack as pack_shards
from vggbatch.storage.filesystem import Folder


def pack(
    input: Location | Sequence[Location],
    output: Location,
    *,
    shard_format: ShardFormat = "tar",
    shard_mb: int = 256,
    columns: Mapping[str, Any] | ColumnOptions | None = None,
    on_progress: Callable[[PackedTotals], None] | None = None,
) -> PackedTotals:
    """Pack images of any source into shards of a given size.

    What was interrupted is continued by the same call, to the same bytes.

    Args:
        input: as `score` takes it.
        output: folder or URI for the shards.
        shard_format: `tar`, WebDataset's, or `parquet`, the layout of Hugging Face datasets.
        shard_mb: megabytes of images in a shard, about.
        columns: how tables of the input are read, as the setting `columns`.
        on_progress: called with the totals so far after each shard.

    Returns:
        How many shards, images and bytes, and what of the input is in no shard.

    Raises:
        UsageError: no images, or the output has other shards or cannot be written to.
        JobFailed: images could not be read; the others are packed.
    """
    check_choice("shard_format", shard_format, ShardFormat)
    if shard_mb < 1:
        raise UsageError(f"shard_mb is {shard_mb}: a shard has a megabyte at least")
    reading = validate(ColumnOptions, columns or {}, origin="columns")
    totals = PackedTotals()
    with OutputLease(Folder(output)) as lease:
        for totals in pack_shards(
            texts(input),
            os.fspath(output),
            shard_format=shard_format,
            shard_size=shard_mb * 10**6,
            max_bytes=load_config().decode.max_bytes,
            columns=reading,
            writer=lease.fence,
        ):
            if on_progress is not None:
                on_progress(totals)
    if totals.unread or not totals.images:
        first = f": {totals.unread[0]}" if totals.unread else ""
        raise JobFailed(f"{len(totals.unread)} images could not be read and are in no shard{first}")
    return totals
