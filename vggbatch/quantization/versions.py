"""The versions of a network: as files, and what each is worth on the images that report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from vggbatch.errors import UsageError
from vggbatch.metrics.estimates.intervals import wilson
from vggbatch.quantization.accuracy import Labeled, Paired, classify
from vggbatch.quantization.arithmetic import int8_share, multiply_adds
from vggbatch.quantization.quantizer import Quantizer


@dataclass(frozen=True)
class Version:
    """A network on the images that report."""

    left_float: tuple[str, ...] | None
    """Layers left in fp32; None: the original."""
    top1: float
    """Percent."""
    rate: float
    """Images/s of the network alone, steady, the versions in turns."""
    int8_share: float | None
    """Share of the multiply-adds that are int8; None: not to be counted."""
    against: Paired | None
    """The original beside it; None for the original."""


@dataclass(frozen=True)
class NetworkFile:
    """A version of the network in a file."""

    left_float: tuple[str, ...]
    path: Path
    int8_share: float | None


def network_files(
    quantizer: Quantizer, networks: Mapping[tuple[str, ...], Path], crop: int
) -> list[NetworkFile]:
    """int8 as a whole, and what is written where that has layers in fp32."""
    layers = multiply_adds(quantizer.graph, quantizer.input, crop)
    return [
        NetworkFile(left, path, None if layers is None else int8_share(onnx.load(path), layers))
        for left, path in networks.items()
    ]


def measure(
    quantizer: Quantizer, files: Sequence[NetworkFile], images: Iterable[Labeled]
) -> list[Version]:
    """The original and the versions of it, in turns on the same images."""
    paths = [quantizer.float_file, *(file.path for file in files)]
    exact, *others = classify(quantizer, paths, images)
    if not len(exact.right):
        raise UsageError("none of the images that would report can be read and differs from others")
    found = [Version(None, 100 * float(exact.right.mean()), exact.rate, 0.0, None)]
    for file, seen in zip(files, others, strict=True):
        against = Paired.of(exact.right, seen.right)
        top1, share = against.quantized_top1, file.int8_share
        found.append(Version(file.left_float, top1, seen.rate, share, against))
    return found


def is_chance(against: Paired, classes: int) -> bool:
    """Whether the original's accuracy may be that of a guess: the 95 % interval has 1 / classes."""
    n = against.images
    return wilson(round(against.original_top1 / 100 * n), n)[0] <= 1 / classes
