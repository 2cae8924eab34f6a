"""Crops of images spread evenly over an input, with their labels where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vggbatch.config import ColumnOptions, DecodeOptions, Preprocess, Selection
from vggbatch.errors import ImageError, UsageError
from vggbatch.job.own_classes import with_own_classes
from vggbatch.labels import Labels
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.pillow_globals import kept_globals
from vggbatch.preprocess.transform import center_crop
from vggbatch.sources import InputWarning, reader_for, select, survey
from vggbatch.sources.base import left_out_of
from vggbatch.sources.input_warnings import input_warnings_of, merged
from vggbatch.sources.tables.columns import Reading


@dataclass(frozen=True)
class Sample:
    """Images that could be read."""

    crops: npt.NDArray[Any]
    """[n, crop, crop, 3] RGB, of the profile's type of pixels."""
    labels: npt.NDArray[np.int32]
    """[n] class index, -1 where unknown."""
    failed: int
    """Images that could not."""
    left_out: tuple[InputWarning, ...] = ()
    """What else is in the input, and in the shards that were opened, by kind."""


@kept_globals()
def sample(
    inputs: Sequence[str],
    count: int,
    profile: Preprocess,
    labels: Labels | None = None,
    columns: ColumnOptions | None = None,
    wanted: Selection | None = None,
) -> Sample:
    """Read images spread evenly over the inputs.

    Args:
        inputs: as `score` takes them.
        count: how many; fewer come back where there are fewer.
        profile: how they are cropped.
        labels: what is known of them.
        columns: names columns of tables and of Parquet.
        wanted: the images of the inputs over which they are spread; None: all.

    Raises:
        UsageError: there is no such input, it is in doubt which classes its labels mean, or none of
            the images tried can be read.
    """
    options = DecodeOptions()
    embedded = labels is not None and labels.keys is None
    classes = labels.classes if labels is not None else None
    reading = Reading(columns or ColumnOptions(), classes, labels=embedded)
    found = survey(list(inputs), reading)
    left_out = found.left_out
    if labels is not None:
        labels, _ = with_own_classes(labels, found.shards)
    shards = select(found.shards, wanted or Selection())
    # no more shards are opened than images wanted
    chosen = [shards[i] for i in _spread(len(shards), count)]
    share = -(-count // len(chosen))
    crops: list[npt.NDArray[Any]] = []
    indices: list[int] = []
    failed = 0
    for shard in chosen:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        left_out = merged(left_out, left_out_of(members))
        members = members.take(_spread(len(members), share))
        known = [None] * len(members)
        if labels is not None:
            tokens = members["label"].to_pylist()
            known = labels.match(shard.image_ids(members), tokens).to_pylist()
        contents = reader.read(shard, members, options.max_bytes)
        for data, label in zip(contents, known, strict=True):
            try:
                if isinstance(data, ImageError):
                    raise data
                crops.append(center_crop(decode_image(data, options), profile))
                indices.append(-1 if label is None else label)
            except ImageError:
                failed += 1
    if not crops:
        raise UsageError(f"none of the {failed} images tried in {', '.join(inputs)} can be read")
    kept = _spread(len(crops), count)
    chosen_crops = np.stack([crops[i] for i in kept])
    chosen_indices = np.array(indices, np.int32)[kept]
    return Sample(chosen_crops, chosen_indices, failed, input_warnings_of(left_out))


def _spread(length: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, length - 1, min(length, wanted)).astype(np.int64)
