"""Label sets: which classes count as right for each image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

IntArray = npt.NDArray[np.int64]


class Matcher(Protocol):
    """Labels loaded from a file; see vggbatch.labels."""

    def match(self, image_ids: list[str], tokens: list[str | None], /) -> pa.Array:
        """For each image an int32 class, or a list<int32> of accepted classes; null: no label."""


@dataclass(frozen=True)
class Accepted:
    """The accepted classes of a batch of images, flattened: image `row[i]` accepts `cls[i]`.

    Rows are in rising order. An image without a label has no entry; an image with several
    accepted classes (ReaL) has several.
    """

    row: IntArray
    cls: IntArray

    @staticmethod
    def of(labels: pa.Array) -> Accepted:
        """From an int32 array or a list<int32> array, one element an image, null for no label."""
        if not pa.types.is_nested(labels.type):
            row = np.flatnonzero(labels.is_valid().to_numpy(zero_copy_only=False))
            cls = labels.drop_null().to_numpy(zero_copy_only=False)
            return Accepted(row.astype(np.int64), cls.astype(np.int64))
        lengths = np.asarray(labels.value_lengths().fill_null(0))
        row = np.repeat(np.arange(len(labels), dtype=np.int64), lengths)
        cls = labels.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        pairs = np.unique(np.stack([row, cls], axis=1), axis=0)
        return Accepted(pairs[:, 0], pairs[:, 1])

    def keep(self, which: npt.NDArray[np.bool_]) -> Accepted:
        """Some of the pairs."""
        return Accepted(self.row[which], self.cls[which])


@dataclass(frozen=True)
class LabelSet:
    """A named set of labels.

    `matcher`: where the labels come from; None is the `label` column of the predictions.
    `classes`: the only classes that compete, for the sets that cover part of them (ImageNet-A,
    ImageNet-R): a prediction of another class is passed over and the best one inside the subset
    counts, as timm's validate does with --valid-labels. None: all.
    `benchmark`: the published accuracies this set is comparable with, as "ILSVRC2012".
    """

    name: str
    matcher: Matcher | None = None
    classes: tuple[int, ...] | None = None
    benchmark: str | None = field(default=None, kw_only=True)

    def labels(self, image_ids: pa.Array | None, column: pa.Array) -> pa.Array:
        """The labels of a batch, given its `image_id` and `label` columns."""
        if self.matcher is None:
            return column
        assert image_ids is not None
        ids = image_ids.to_pylist()
        return self.matcher.match(ids, [None] * len(ids))


RECORDED = LabelSet("embedded")
"""The labels that the run itself recorded in its predictions."""
