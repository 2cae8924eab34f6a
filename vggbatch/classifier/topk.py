"""Softmax and the five most probable classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Row-wise softmax of (n, classes), computed in float64 after subtracting the row's maximum."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


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
