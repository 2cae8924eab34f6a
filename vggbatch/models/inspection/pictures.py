"""Made pictures on which networks are tried and prepared files are proved: no two look alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vggbatch.config import Preprocess

_CELLS = (2, 5, 16)
"""Cells across of the pictures of colored cells: from large areas to texture."""


def made_pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures, uint8 RGB [count, height, width, 3], the same ones each time.

    They differ in color, brightness, contrast and detail, so that a network which tells images
    apart distinguishes these, and a scale that is taken from all images of a batch shows.
    """
    rng = np.random.default_rng(0)
    made = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        low, high = np.sort(rng.integers(0, 256, (2, 3)), axis=0)
        if number % (len(_CELLS) + 1) == len(_CELLS):
            made[number] = rng.integers(0, 256, (height, width, 3))
            continue
        cells = _CELLS[number % (len(_CELLS) + 1)]
        colors = low + rng.random((cells, cells, 3)) * (high - low)
        rows = np.arange(height) * cells // height
        columns = np.arange(width) * cells // width
        made[number] = colors[rows][:, columns]
    return made


def as_input(pixels: NDArray[np.uint8], profile: Preprocess, layout: str) -> NDArray[np.float32]:
    """Pictures as a network's input: normalized, in its layout."""
    ordered = pixels[..., ::-1] if profile.channels == "BGR" else pixels
    values = (ordered / profile.scale - np.array(profile.mean)) / np.array(profile.std)
    arranged = values.transpose(0, 3, 1, 2) if layout == "NCHW" else values
    return np.ascontiguousarray(arranged, np.float32)
