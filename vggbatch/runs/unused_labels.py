"""Labels of a label file that belong to no image of a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from vggbatch.job.job import Job
from vggbatch.job.label_check import UNUSED
from vggbatch.output.reader import open_for_arrow, open_parquet
from vggbatch.sources import InputWarning, input_warning
from vggbatch.storage.filesystem import Folder

_ROWS = 1_000_000
"""Rows whose names are matched once more whatever the counts say: 10 µs each (measured)."""


def unused_labels(
    job: Job, folder: Folder, files: Sequence[str], rows: int, labeled: int
) -> tuple[InputWarning, ...]:
    """The labels that match no image, shards included, as far as the row labels are from a file.

    Beyond a million rows they are looked for only if fewer rows have a label than there are
    labels, which an evaluation of a whole data set does not have. Where only some images were
    wanted, the labels of all others are no mistake.

    Args:
        job: what was asked.
        folder: the output.
        files: its predictions files.
        rows: how many rows they have.
        labeled: how many of those have a label.
    """
    labels = job.labels
    if labels is None or labels.keys is None or not job.config.select.everything:
        return ()
    if all(shard.members is not None for shard in job.shards):
        return tuple(odd for odd in job.input_warnings if odd.what == UNUSED)
    if rows > _ROWS and labeled >= len(labels):
        return ()
    try:
        unused = labels.without_image(_image_ids(folder, files))
    except (OSError, pa.ArrowException):
        return ()  # a file is damaged or gone, which the end of the run reports
    return (input_warning(UNUSED, unused),) if unused else ()


def _image_ids(folder: Folder, files: Sequence[str]) -> Iterator[str]:
    for name in files:
        with open_for_arrow(folder, name) as file:
            for batch in open_parquet(file).iter_batches(columns=["image_id"]):
                yield from batch.column(0).to_pylist()
