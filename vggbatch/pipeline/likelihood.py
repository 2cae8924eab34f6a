"""The likelihood of the true classes, summed: what five probabilities a row cannot tell.

The negative log-likelihood needs the probability of the true class, which the predictions leave
out when it is not among the best five. It is known while an image is scored, so its sum over the
rows of a predictions file travels in that file's Parquet metadata: written with the rows it
belongs to, it is exactly-once as they are. The sums are whole numbers of small units, so they
come out the same in whatever order and grouping they are added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

METADATA_KEY = b"vggbatch.label_nll"

UNIT = 2.0**-24
"""Of the sum, in nats. 2^31 rows of at most 128 nats stay below 2^63."""

SQUARE_UNIT = 2.0**-16
"""Of the sum of squares, in nats squared."""


@dataclass(frozen=True)
class LabelLikelihood:
    """Sums of -log(probability of the row's label) over rows that have a label and no error."""

    n: int = 0
    total: int = 0
    """In units of `UNIT`."""
    squares: int = 0
    """In units of `SQUARE_UNIT`."""

    @staticmethod
    def of(nll: npt.NDArray[np.floating]) -> LabelLikelihood:
        """From values in nats, one for each row with a label: logsumexp(logits) - logit[label]."""
        values = np.asarray(nll, dtype=np.float64)
        return LabelLikelihood(
            n=len(values),
            total=int(np.rint(values / UNIT).astype(np.int64).sum()),
            squares=int(np.rint(values**2 / SQUARE_UNIT).astype(np.int64).sum()),
        )

    def __add__(self, other: LabelLikelihood) -> LabelLikelihood:
        return LabelLikelihood(
            self.n + other.n, self.total + other.total, self.squares + other.squares
        )

    def to_metadata(self) -> dict[bytes, bytes]:
        """As an entry of an Arrow schema's metadata."""
        text = json.dumps({"n": self.n, "total": self.total, "squares": self.squares})
        return {METADATA_KEY: text.encode()}

    @staticmethod
    def from_metadata(metadata: Mapping[bytes, bytes] | None) -> LabelLikelihood | None:
        """What a file carries, or None."""
        text = (metadata or {}).get(METADATA_KEY)
        return LabelLikelihood(**json.loads(text)) if text is not None else None
