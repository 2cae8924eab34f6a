"""Seeded weights, bit-equal on every machine, under which a random VGG tells images apart.

They come from PCG64's raw bits by exactly rounded elementwise arithmetic alone; nothing is
calibrated when they are made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GENERATOR_VERSION = 1
"""Part of the identity of a synthetic model: raised when a name and seed give other weights."""

GAINS = {"image": 2.3, "relu": 1.74, "pool": 1.4}
"""By what a layer reads, so that what comes out has deviation 1 (measured on photographs at full
size; 1.71 is a ReLU's in theory, and max-pooling raises the deviation)."""
LOGIT_DEVIATION = 2.5
"""Spread of the logits over classes: a top-1 probability near 0.1 among 1000 classes."""
CAFFE_DEVIATION = 64.0
"""Deviation of a caffe2 input pixel (0..255 minus the mean), against about 1 for the others."""


class SeededWeights:
    """Tensors, one stream of random bits for each layer."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _stream(self, layer: int, part: int) -> np.random.PCG64:
        return np.random.PCG64(np.random.SeedSequence([self.seed, layer, part]))

    def filters(self, layer: int, shape: Sequence[int], gain: float) -> NDArray[np.float32]:
        """Uniform weights of deviation gain / sqrt(fan-in), each row of zero sum.

        The zero sum takes away the mean that all ReLU outputs share; with it, a random network
        answers the same class for every image.
        """
        rows, fan_in = shape[0], math.prod(shape[1:])
        scale = np.float32(gain / math.sqrt(fan_in) / (65536 / math.sqrt(12)))
        words = -(-fan_in // 4)
        stream = self._stream(layer, 0)
        result = np.empty((rows, fan_in), np.float32)
        step = max(1, 2**22 // fan_in)
        for start in range(0, rows, step):
            part = result[start : start + step]
            raw = stream.random_raw(len(part) * words).astype("<u8").view("<i2")
            integers = raw.reshape(len(part), words * 4)[:, :fan_in]
            means = integers.sum(axis=1, dtype=np.int64) / fan_in
            np.subtract(integers, means.astype(np.float32)[:, None], out=part, dtype=np.float32)
            part *= scale
        return result.reshape(shape)

    def uniform(
        self, layer: int, part: int, size: int, low: float, high: float
    ) -> NDArray[np.float32]:
        """Uniform values in [low, high)."""
        raw = self._stream(layer, part).random_raw(size) >> np.uint64(40)
        unit = raw.astype(np.float32) * np.float32(2.0**-24)
        scaled: NDArray[np.float32] = unit * np.float32(high - low) + np.float32(low)
        return scaled
