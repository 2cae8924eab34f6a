"""Which layers of a network lose most when they become int8, measured; and leaving them in fp32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbatch.models.graphs.runtime import open_network
from vggbatch.quantization.accuracy import Paired, classify
from vggbatch.quantization.calibration import BATCH
from vggbatch.quantization.quantizer import Quantizer
from vggbatch.quantization.sampling import Images

Progress = Callable[[str], None]
"""Called with what is being done, in a few words."""

CHANCE = 0.05
"""A drop with a larger mid-p value may be chance, and no layer is left in fp32 for it."""


@dataclass(frozen=True)
class LayerNoise:
    """What one layer does to the scores when it alone is int8."""

    layer: str
    decibels: float | None
    """Signal to quantization noise in the scores, 10 log10(signal / noise); None: no noise."""


@dataclass(frozen=True)
class Step:
    """A version of the network on the images that choose layers."""

    left_float: tuple[str, ...]
    """Layers that stay in fp32; none in the first step."""
    against: Paired


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
    exact = _centered(_scores(quantizer, quantizer.float_file, images))
    found = []
    target = work / "layer.onnx"
    for number, layer in enumerate(quantizer.layers, 1):
        progress(f"layer {number} of {len(quantizer.layers)}: {layer}")
        quantizer.write_alone(target, layer)
        noise = _centered(_scores(quantizer, target, images)) - exact
        power = float((noise**2).sum())
        ratio = float((exact**2).sum()) / power if power else None
        found.append(LayerNoise(layer, ratio and float(10 * np.log10(ratio))))
    return sorted(found, key=lambda noise: np.inf if noise.decibels is None else noise.decibels)


def leave_worst(
    quantizer: Quantizer,
    target: Path,
    choosing: Images,
    noise: Sequence[LayerNoise],
    max_drop: float,
    progress: Progress,
) -> list[Step]:
    """Leave the worst layers in fp32, one more each time, while accuracy is lost beyond a limit.

    A layer is left only where the drop is above the limit and no chance (McNemar's test). The
    images that this is decided on look better afterward than others: report on others.

    Args:
        quantizer: the calibrated network.
        target: the int8 network; written again each time.
        choosing: labeled images to decide on, at least one.
        noise: the layers, the worst first.
        max_drop: points of top-1 that int8 may lie below fp32.
        progress: called with every step.

    Returns:
        The int8 network as a whole, then a step for each layer that was left.
    """
    pairs = list(zip(choosing.crops, choosing.labels.tolist(), strict=True))
    progress(f"fp32 and int8 on {len(pairs)} images that choose layers")
    exact, now = classify(quantizer, [quantizer.float_file, target], pairs)
    steps = [Step((), Paired.of(exact.right, now.right))]
    for layer in noise:
        against = steps[-1].against
        if against.difference <= max_drop or against.mid_p_value > CHANCE:
            break
        left = (*steps[-1].left_float, layer.layer)
        progress(f"leaving {len(left)} of {len(noise)} layers in fp32")
        quantizer.write(target, keep_float=left)
        [now] = classify(quantizer, [target], pairs)
        steps.append(Step(left, Paired.of(exact.right, now.right)))
    return steps


def _scores(quantizer: Quantizer, path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores [n, classes]."""
    session = open_network(path)
    name = session.get_outputs()[0].name
    parts = [
        session.run([name], {quantizer.input: quantizer.normalize(images[start : start + BATCH])})
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate([part[0] for part in parts]).reshape(len(images), -1)


def _centered(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores without what is common to all classes of an image, which changes no ranking."""
    wide = scores.astype(np.float64)
    centered: NDArray[np.float64] = wide - wide.mean(axis=1, keepdims=True)
    return centered
