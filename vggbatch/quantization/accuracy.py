"""Networks on the same labeled images: which are right on which, and how fast each is."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbatch.metrics.estimates.intervals import mcnemar_mid_p, paired_difference
from vggbatch.models.graphs.runtime import open_network
from vggbatch.quantization.calibration import BATCH
from vggbatch.quantization.quantizer import Quantizer

Labeled = tuple[NDArray[Any], int]
"""A crop and its class."""


@dataclass(frozen=True)
class Paired:
    """The original beside a quantized network on the same images. Accuracies in percent."""

    images: int
    original_top1: float
    quantized_top1: float
    difference: float
    """Original less quantized, points: above 0, accuracy is lost."""
    ci_low: float
    ci_high: float
    """The 95 % interval of the difference: Newcombe's of paired proportions."""
    only_original: int
    """Images on which only the original is right."""
    only_quantized: int
    """Images on which only the quantized one is right."""
    mid_p_value: float
    """McNemar's test with the mid-p value: whether a difference as large may be chance."""

    @staticmethod
    def of(original: NDArray[np.bool_], quantized: NDArray[np.bool_]) -> Paired:
        """Of which images each is right on; at least one image."""
        n = len(original)
        first, second = int((original & ~quantized).sum()), int((quantized & ~original).sum())
        both = int((original & quantized).sum())
        low, high = paired_difference(both, first, second, n - both - first - second)
        return Paired(
            images=n,
            original_top1=100 * float(original.mean()),
            quantized_top1=100 * float(quantized.mean()),
            difference=100 * (first - second) / n,
            ci_low=100 * low,
            ci_high=100 * high,
            only_original=first,
            only_quantized=second,
            mid_p_value=mcnemar_mid_p(first, second),
        )


@dataclass(frozen=True)
class Seen:
    """What was seen of one network."""

    right: NDArray[np.bool_]
    """Whether its top-1 class is the image's, by image."""
    rate: float
    """Images/s of the network alone, steady: the median over the batches, which all networks took
    in turns, on the cores that this process may use."""


def classify(
    quantizer: Quantizer, networks: Sequence[Path], images: Iterable[Labeled]
) -> list[Seen]:
    """Run networks batch by batch, each batch by all of them, in alternating order.

    Args:
        quantizer: makes their input of crops.
        networks: with the same ports.
        images: to run them on.
    """
    sessions = [open_network(path, spin=False) for path in networks]
    outputs = [session.get_outputs()[0].name for session in sessions]
    right: list[list[NDArray[np.bool_]]] = [[] for _ in networks]
    seconds: list[list[float]] = [[] for _ in networks]
    for number, (crops, labels) in enumerate(_batches(images)):
        given = {quantizer.input: quantizer.normalize(crops)}
        turns = range(len(sessions))
        for turn in turns if number % 2 else reversed(turns):
            if not number:
                sessions[turn].run([outputs[turn]], given)  # makes room, and is slower
            clock = time.perf_counter()
            scores = np.asarray(sessions[turn].run([outputs[turn]], given)[0])
            took = time.perf_counter() - clock
            right[turn].append(_right(scores.reshape(len(crops), -1), labels))
            # the last one may be smaller, and slower for an image
            if not number or len(crops) == BATCH:
                seconds[turn].append(took / len(crops))
    return [
        Seen(np.array([*itertools.chain(*parts)], bool), 1 / statistics.median(times or [np.inf]))
        for parts, times in zip(right, seconds, strict=True)
    ]


def _right(scores: NDArray[Any], labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the top-1 class is the image's; scores that are no numbers have none."""
    found: NDArray[np.bool_] = (scores.argmax(1) == labels) & np.isfinite(scores).all(1)
    return found


def _batches(images: Iterable[Labeled]) -> Iterator[tuple[NDArray[Any], NDArray[np.int32]]]:
    left = iter(images)
    while batch := list(itertools.islice(left, BATCH)):
        yield np.stack([crop for crop, _ in batch]), np.array([label for _, label in batch])
