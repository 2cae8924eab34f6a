"""Which layers of a network lose most when they become int8, measured; and leaving them in fp32."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbatch.models.graphs.runtime import open_network
from vggbatch.quantization.calibration import BATCH
from vggbatch.quantization.quantizer import Quantizer

Progress = Callable[[str], None]
"""Called with what is being done, in a few words."""


@dataclass(frozen=True)
class LayerNoise:
    """What one layer does to the scores when it alone is int8."""

    layer: str
    decibels: float | None
    """Signal to quantization noise in the scores, 10 log10(signal / noise); None: no noise."""


@dataclass(frozen=True)
class Measured:
    """A version of the network on labeled images."""

    left_float: tuple[str, ...]
    """Layers that stayed in fp32."""
    correct: int
    images: int
    rate: float
    """Images/s of the network alone, on the cores that this process may use."""

    @property
    def top1(self) -> float:
        """Percent."""
        return 100 * self.correct / self.images


@dataclass(frozen=True)
class Labeled:
    """Images with the class each belongs to."""

    crops: NDArray[np.uint8]
    """[n, crop, crop, 3]"""
    labels: NDArray[np.int32]
    """[n]"""


def layer_noise(
    quantizer: Quantizer, images: NDArray[np.uint8], work: Path, progress: Progress
) -> list[LayerNoise]:
    """Quantize one layer after the other and compare the scores with fp32's; the worst first.

    Args:
        quantizer: the calibrated network.
        images: uint8 RGB [n, crop, crop, 3]; a few are enough, for each has all classes' scores.
        work: a folder for files that do not last.
        progress: called with every layer.
    """
    exact = _centred(_scores(quantizer, quantizer.float_file, images)[0])
    found = []
    target = work / "layer.onnx"
    for number, layer in enumerate(quantizer.layers, 1):
        progress(f"layer {number} of {len(quantizer.layers)}: {layer}")
        quantizer.write_alone(target, layer)
        noise = _centred(_scores(quantizer, target, images)[0]) - exact
        power = float((noise**2).sum())
        ratio = float((exact**2).sum()) / power if power else None
        found.append(LayerNoise(layer, ratio and float(10 * np.log10(ratio))))
    return sorted(found, key=lambda noise: np.inf if noise.decibels is None else noise.decibels)


def compare(
    quantizer: Quantizer, target: Path, labeled: Labeled, progress: Progress
) -> list[Measured]:
    """Measure fp32 and the int8 network at `target`, in this order."""
    every = quantizer.layers
    progress(f"fp32 on {len(labeled.labels)} labeled images")
    exact = _measure(quantizer, quantizer.float_file, labeled, every)
    progress(f"int8 on {len(labeled.labels)} labeled images")
    return [exact, _measure(quantizer, target, labeled, ())]


def leave_worst(
    quantizer: Quantizer,
    target: Path,
    labeled: Labeled,
    measured: Sequence[Measured],
    noise: Sequence[LayerNoise],
    max_drop: float,
    progress: Progress,
) -> list[Measured]:
    """Leave the worst layers in fp32, one more each time, until the accuracy is near fp32's.

    Args:
        quantizer: the calibrated network.
        target: the int8 network; written again each time.
        labeled: images to measure on.
        measured: what `compare` gave.
        noise: the layers, the worst first.
        max_drop: points of top-1 that int8 may lie below fp32.
        progress: called with every step.

    Returns:
        The steps taken; none where int8 was near enough already.
    """
    exact, now = measured
    steps: list[Measured] = []
    left: tuple[str, ...] = ()
    for layer in noise:
        if exact.top1 - now.top1 <= max_drop:
            break
        left = (*left, layer.layer)
        progress(f"leaving {len(left)} of {len(noise)} layers in fp32")
        quantizer.write(target, keep_float=left)
        now = _measure(quantizer, target, labeled, left)
        steps.append(now)
    return steps


def _measure(quantizer: Quantizer, path: Path, labeled: Labeled, left: tuple[str, ...]) -> Measured:
    scores, seconds = _scores(quantizer, path, labeled.crops)
    correct = int((scores.argmax(1) == labeled.labels).sum())
    return Measured(left, correct, len(scores), len(scores) / seconds)


def _scores(
    quantizer: Quantizer, path: Path, images: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], float]:
    """Scores [n, classes], and the seconds that the network took for them."""
    session = open_network(path)
    name = session.get_outputs()[0].name
    parts, seconds = [], 0.0
    for start in range(0, len(images), BATCH):
        given = {quantizer.input: quantizer.normalize(images[start : start + BATCH])}
        if not start:
            session.run([name], given)  # the first run makes room and is slower
        clock = time.perf_counter()
        parts.append(session.run([name], given)[0])
        seconds += time.perf_counter() - clock
    scores = np.concatenate(parts)
    return scores.reshape(len(images), -1), seconds


def _centred(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores without what is common to all classes of an image, which changes no ranking."""
    wide = scores.astype(np.float64)
    centered: NDArray[np.float64] = wide - wide.mean(axis=1, keepdims=True)
    return centered
