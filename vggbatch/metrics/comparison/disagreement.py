"""Where two runs part, image by image: probabilities and first predictions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vggbatch.metrics.labelset import Accepted, LabelSet
from vggbatch.metrics.partial import best_rank
from vggbatch.metrics.rows import Rows


def largest_difference(a: Rows, b: Rows, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """For each chosen image the largest difference of one class's probability.

    Over the classes among both runs' five it is exact. A class that one run does not list has at
    most the probability of that run's fifth, and counts with the least difference this leaves.
    """
    one, other = _known_difference(a, b, which), _known_difference(b, a, which)
    return np.maximum(one, other)


def _known_difference(a: Rows, b: Rows, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    p = np.nan_to_num(a.probability[which].astype(np.float64))
    q = np.nan_to_num(b.probability[which].astype(np.float64))
    same = a.index[which][:, :, None] == b.index[which][:, None, :]
    listed = np.abs(p - (q[:, None, :] * same).sum(axis=2))
    unlisted = np.maximum(0.0, p - q[:, -1:])
    found: npt.NDArray[np.float64] = np.where(same.any(axis=2), listed, unlisted).max(axis=1)
    return found


def differing_images(
    a: Rows, b: Rows, column: pa.Array, accepted: Accepted, labels: LabelSet
) -> pa.Table:
    """The images whose first predictions differ, as `Comparison.differences` has them."""
    parted = a.index[:, 0] != b.index[:, 0]
    labeled = np.zeros(len(a), bool)
    labeled[accepted.row] = True
    keep = pa.array(parted)
    assert a.image_id is not None
    columns = {"image_id": a.image_id.filter(keep), "label": column.filter(keep)}
    for name, rows in (("a", a), ("b", b)):
        right = best_rank(rows, accepted, labels.classes) == 0
        lost = ~rows.scored[parted]
        columns[f"index_{name}"] = pa.array(rows.index[parted, 0], mask=lost)
        columns[f"probability_{name}"] = pa.array(rows.probability[parted, 0], mask=lost)
        columns[f"right_{name}"] = pa.array(right[parted], mask=~labeled[parted])
    return pa.table(columns)


def wrong_differently(differences: pa.Table) -> pa.Table:
    """The images of `Comparison.differences` that both runs have scored, and both wrongly."""
    wrong = pc.and_(
        pc.equal(differences["right_a"], False), pc.equal(differences["right_b"], False)
    )
    both = pc.and_(pc.is_valid(differences["index_a"]), pc.is_valid(differences["index_b"]))
    return differences.filter(pc.and_(wrong, both))
