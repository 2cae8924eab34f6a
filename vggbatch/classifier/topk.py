"""Softmax and the five most probable classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class BeyondFive:
    """What the probabilities of all classes say about some images, each array (images,)."""

    brier: npt.NDArray[np.float64]
    """Sum over the classes of (probability - 1 for the label, else probability)^2; NaN without a
    label."""
    certain: npt.NDArray[np.bool_]
    """The label is among the first five however ties are broken."""
    possible: npt.NDArray[np.bool_]
    """The label is among the first five if ties are broken in its favor."""
    tied: npt.NDArray[np.bool_]
    """Places 5 and 6 have the same probability."""

    def keep(self, which: npt.NDArray[np.bool_]) -> BeyondFive:
        """Of some of the images."""
        return BeyondFive(
            self.brier[which], self.certain[which], self.possible[which], self.tied[which]
        )


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Row-wise softmax of (n, classes), computed in float64 after subtracting the row's maximum."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def negative_log_likelihood(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], *, probabilities: bool
) -> npt.NDArray[np.float64]:
    """-ln(probability of the label) of each row in nats, from scores (n, classes).

    Logits are not turned into probabilities first, so that it is exact however small they are. A
    probability of 0 counts as the smallest positive float32.

    Args:
        scores: logits or probabilities.
        labels: (n,) class indices; outside 0..classes-1: unknown.
        probabilities: whether the scores went through softmax.

    Returns:
        (n,), NaN where the label is unknown.
    """
    nll = np.full(len(scores), np.nan)
    known = np.flatnonzero((labels >= 0) & (labels < scores.shape[1]))
    rows = scores[known].astype(np.float64)
    own = rows[np.arange(len(known)), labels[known]]
    if probabilities:
        nll[known] = -np.log(np.maximum(own, 2.0**-149))
    elif len(known):
        top = rows.max(axis=1)
        nll[known] = np.log(np.exp(rows - top[:, None]).sum(axis=1)) + top - own
    return nll


def top_k(
    probabilities: npt.NDArray[np.floating], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The k most probable classes of each row, by falling probability, ties by index.

    Probabilities are compared as float32, the type they are stored in, so that the order can be
    checked from the output alone. A model with fewer than k classes leaves index -1 and
    probability NaN in the rest.

    Args:
        probabilities: (n, classes).
        k: how many.

    Returns:
        Class indices int32 (n, k) and probabilities float32 (n, k).
    """
    stored = probabilities.astype(np.float32)
    order = np.argsort(-stored, axis=1, kind="stable")[:, :k].astype(np.int32)
    values = np.take_along_axis(stored, order, axis=1)
    missing = k - order.shape[1]
    if missing > 0:
        order = np.pad(order, ((0, 0), (0, missing)), constant_values=-1)
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
    return order, values


def beyond_five(
    probabilities: npt.NDArray[np.float64],
    listed: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
) -> BeyondFive:
    """What the listed probabilities leave out.

    Probabilities tie that are equal as float32, the type by which `top_k` orders them.

    Args:
        probabilities: (n, classes).
        listed: (n, k) as `top_k` gives them.
        labels: (n,) class indices; outside 0..classes-1: unknown.
    """
    n, classes = probabilities.shape
    k = listed.shape[1]
    stored = probabilities.astype(np.float32)
    brier = np.full(n, np.nan)
    certain, possible = np.zeros(n, bool), np.zeros(n, bool)
    known = np.flatnonzero((labels >= 0) & (labels < classes))
    own = probabilities[known, labels[known]]
    squares = np.einsum("ij,ij->i", probabilities[known], probabilities[known])
    brier[known] = squares - 2 * own + 1
    stored_own = stored[known, labels[known]][:, None]
    certain[known] = (stored[known] >= stored_own).sum(axis=1) <= k
    possible[known] = (stored[known] > stored_own).sum(axis=1) < k
    # with fewer classes than places the last is NaN, and nothing ties
    tied = (stored >= listed[:, -1:]).sum(axis=1) > k
    return BeyondFive(brier, certain, possible, tied)
