"""What five probabilities a row do not show, summed while all of them are known.

The negative log-likelihood needs the probability of the true class, the Brier score those of all
classes, and whether places 5 and 6 tie the sixth: the predictions leave them out. They are known
while an image is scored, so their sums over the rows of a predictions file travel in that file's
Parquet metadata: written with the rows they belong to, they are exactly-once as those are. The
sums are whole numbers of small units, so they come out the same in whatever order and grouping
they are added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from vggbatch.bounds import Count, Sum

if TYPE_CHECKING:
    # which would load onnxruntime where metrics are computed
    from vggbatch.classifier.topk import BeyondFive

METADATA_KEY = b"vggbatch.label_nll"

UNIT = 2.0**-24
"""Of the sum, in nats; of Brier scores. 2^31 rows of at most 128 stay below 2^63."""

SQUARE_UNIT = 2.0**-16
"""Of the sum of squares, in nats squared."""


@dataclass(frozen=True)
class LabelLikelihood:
    """Sums of -log(probability of the row's label) over rows that have a label and no error."""

    n: Count = 0
    total: Sum = 0
    """In units of `UNIT`."""
    squares: Sum = 0
    """In units of `SQUARE_UNIT`."""
    beyond: Count = 0
    """Of `n`, the rows of which the following is known too."""
    brier: Sum = 0
    """In units of `UNIT`."""
    brier_squares: Sum = 0
    """In units of `SQUARE_UNIT`."""
    certain: Count = 0
    """Rows whose label is among the first five however ties are broken."""
    possible: Count = 0
    """Rows whose label is among the first five if ties are broken in its favor."""
    images: Count = 0
    """Rows without an error, labeled or not, of which ties are known."""
    tied: Count = 0
    """Of `images`, those whose places 5 and 6 have the same probability."""

    @staticmethod
    def of(nll: npt.NDArray[np.floating], beyond: BeyondFive | None = None) -> LabelLikelihood:
        """From values of rows without an error.

        Args:
            nll: in nats, logsumexp(logits) - logit[label]; NaN for a row without a label.
            beyond: of the same rows.
        """
        known = ~np.isnan(nll)
        values = np.asarray(nll, dtype=np.float64)[known]
        sums = {
            "n": len(values),
            "total": int(np.rint(values / UNIT).astype(np.int64).sum()),
            "squares": int(np.rint(values**2 / SQUARE_UNIT).astype(np.int64).sum()),
        }
        if beyond is not None:
            brier = beyond.brier[known]
            sums |= {
                "beyond": len(values),
                "brier": int(np.rint(brier / UNIT).astype(np.int64).sum()),
                "brier_squares": int(np.rint(brier**2 / SQUARE_UNIT).astype(np.int64).sum()),
                "certain": int(beyond.certain[known].sum()),
                "possible": int(beyond.possible[known].sum()),
                "images": len(known),
                "tied": int(beyond.tied.sum()),
            }
        return LabelLikelihood(**sums)

    def __add__(self, other: LabelLikelihood) -> LabelLikelihood:
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return LabelLikelihood(*sums)

    def without_labels(self) -> LabelLikelihood:
        """What holds for any labels."""
        return LabelLikelihood(images=self.images, tied=self.tied)

    def to_metadata(self) -> dict[bytes, bytes]:
        """As an entry of an Arrow schema's metadata."""
        return {METADATA_KEY: json.dumps(asdict(self)).encode()}

    @staticmethod
    def from_metadata(metadata: Mapping[bytes, bytes] | None) -> LabelLikelihood | None:
        """What a file carries, or None. Raises ValueError for what no run has written."""
        text = (metadata or {}).get(METADATA_KEY)
        return _adapter().validate_json(text, strict=True) if text is not None else None


@cache
def _adapter() -> TypeAdapter[LabelLikelihood]:
    return TypeAdapter(LabelLikelihood)
