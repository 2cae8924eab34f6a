"""A label audit: where another set of labels agrees with the network and not with the row's label.

ReaL's labels (Beyer et al. 2020, Are we done with ImageNet?) accept, for many a mistake of a
network, what it said: the label is wrong there, or one of several objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.metrics.labelset import Accepted
from vggbatch.metrics.rows import Rows

AUDIT_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("label_accepted", pa.bool_(), nullable=False),
    ]
)


@dataclass
class Audit:
    """Mergeable: what some rows show."""

    compared: int = 0
    """Scored rows with a label of their own and accepted classes in the set."""
    rejected: int = 0
    """Of `compared`, those whose own label the set does not accept."""
    vindicated: int = 0
    """Of `compared`, those whose first prediction the set accepts though it is not their label."""
    images: list[pa.Table] = field(default_factory=list)
    """The vindicated ones, in AUDIT_SCHEMA."""

    def __add__(self, other: Audit) -> Audit:
        return Audit(
            self.compared + other.compared,
            self.rejected + other.rejected,
            self.vindicated + other.vindicated,
            self.images + other.images,
        )

    def table(self) -> pa.Table:
        """metrics/label_audit: the vindicated images, surest first."""
        found = pa.concat_tables([AUDIT_SCHEMA.empty_table(), *self.images])
        return found.sort_by([("probability", "descending"), ("image_id", "ascending")])


def audit(rows: Rows, accepted: Accepted) -> Audit:
    """Compare the rows' own labels with a set's, for the images that have both.

    Args:
        rows: with image ids.
        accepted: the set's classes for them.
    """
    has_own = rows.label.is_valid().to_numpy(zero_copy_only=False)
    own = rows.label.fill_null(-1).to_numpy(zero_copy_only=False)
    compared = rows.scored & has_own & _any(accepted, np.ones(len(accepted.row), bool), len(rows))
    own_accepted = _any(accepted, accepted.cls == own[accepted.row], len(rows))
    first = rows.index[:, 0]
    said = _any(accepted, accepted.cls == first[accepted.row], len(rows))
    vindicated = compared & said & (first != own)
    found = Audit(int(compared.sum()), int((compared & ~own_accepted).sum()), int(vindicated.sum()))
    if found.vindicated:
        assert rows.image_id is not None
        columns = [
            rows.image_id.filter(pa.array(vindicated)),
            pa.array(own[vindicated], pa.int32()),
            pa.array(first[vindicated], pa.int32()),
            pa.array(rows.probability[vindicated, 0], pa.float32()),
            pa.array(own_accepted[vindicated]),
        ]
        found.images.append(pa.table(columns, schema=AUDIT_SCHEMA))
    return found


def _any(accepted: Accepted, which: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """For each row whether one of its accepted classes is among those."""
    found = np.zeros(rows, bool)
    found[accepted.row[which]] = True
    return found
