"""How labels and listed images fit together; those inside shards are met when these are opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.errors import UsageError
from vggbatch.pipeline.job import Job
from vggbatch.sources import Labels, Shard, Surprise, surprise

UNLABELLED = "images without a label"
UNUSED = "labels without an image"


@dataclass(frozen=True)
class LabelCount:
    """How many of the listed images have a label."""

    matched: int
    unmatched: int


def check_labelled(job: Job) -> None:
    """Make sure that labels which were asked for are of these images, as far as they are listed.

    Raises:
        UsageError: none of the images has one.
    """
    if job.labels is None or any(shard.members is None for shard in job.shards):
        return
    listed = 0
    first = ""
    for shard in job.shards:
        ids, found = _match(shard, job.labels)
        if found.null_count < len(found):
            return
        first = first or next(iter(ids), "")
        listed += len(ids)
    if listed:
        raise UsageError(
            f"no image has a label in {job.row_labels}; the first of {listed:,} images is {first}"
        )


def count_labelled(
    shards: Iterable[Shard], labels: Labels
) -> tuple[LabelCount | None, tuple[Surprise, ...]]:
    """How many listed images have a label, and which labels and images have no other half.

    Returns:
        The count, None where no image is listed, and what is odd.
    """
    listed: list[str] = []
    unmatched: list[str] = []
    everything = True
    for shard in shards:
        if shard.members is None:
            everything = False
            continue
        ids, found = _match(shard, labels)
        listed += ids
        missing = found.is_null().to_pylist()
        unmatched += [name for name, absent in zip(ids, missing, strict=True) if absent]
    if not listed:
        return None, ()
    odd = [surprise(UNLABELLED, unmatched)] if unmatched else []
    if everything and (unused := labels.without_image(listed)):
        odd.append(surprise(UNUSED, unused))
    return LabelCount(len(listed) - len(unmatched), len(unmatched)), tuple(odd)


def _match(shard: Shard, labels: Labels) -> tuple[list[str], pa.Array]:
    """The ids of a shard's listed images, and the label of each, null without."""
    assert shard.members is not None, "its images are listed"
    ids = shard.image_ids(shard.members)
    return ids, labels.match(ids, shard.members["label"].to_pylist())
