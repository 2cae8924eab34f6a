"""Images of an input divided by purpose: to calibrate on, to choose layers on, to report on.

No image has two purposes. Which has which follows from the input alone, so the same command divides
it in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbatch.errors import UsageError
from vggbatch.metrics.estimates.noninferiority import finest_limit, images_needed, least_images
from vggbatch.quantization.sampling import ImagePool, Images, Place
from vggbatch.quantization.sensitivity import Step

FEW = 500
"""Images that report, and that choose layers, unless a limit needs more: a minute of fp32 VGG-16 on
two cores."""


@dataclass(frozen=True)
class Parts:
    """Where the images are that are needed before any layer is chosen."""

    calibrating: list[Place]
    choosing: list[Place]
    """Labeled; none without a limit."""


def divide(pool: ImagePool, images: int, labels: str | None, max_drop: float | None) -> Parts:
    """Find images to calibrate on, and with a limit as many labeled ones to choose layers on.

    Args:
        pool: the input.
        images: how many to calibrate on.
        labels: where the labels come from; None: nothing is measured.
        max_drop: points of top-1 that may be lost; None: no layer is chosen.

    Raises:
        UsageError: no labeled image is left to report, or too few for the limit.
    """
    calibrating = pool.find(images)
    if labels is None:
        return Parts(calibrating, [])
    least = least_images(max_drop / 100) if max_drop is not None else 0
    wanted = max(least, FEW)
    found = pool.find(2 * wanted, labeled=True)
    pool.give_back(found)
    if not found:
        if not any(pool.label(place) >= 0 for place in calibrating):
            raise UsageError(f"{labels} has no label for any of {pool.known} images")
        raise UsageError(
            f"all labeled images are among the {len(calibrating)} to calibrate on, and none is "
            "left to measure on: take fewer with --images, or give more images"
        )
    if max_drop is None:
        return Parts(calibrating, [])
    if len(found) < 2 * least:
        raise too_few(max_drop, len(found), f"beside the {len(calibrating)} to calibrate on")
    return Parts(calibrating, pool.find(min(wanted, len(found) // 2), labeled=True))


def read(
    pool: ImagePool, parts: Parts, max_drop: float | None, work: Path
) -> tuple[Images, Images]:
    """Read the images to calibrate on, and those that choose layers.

    Args:
        pool: the input.
        parts: as `divide` found them.
        max_drop: points of top-1 that may be lost; None: no layer is chosen.
        work: a folder for files that are needed as long as the images.

    Raises:
        UsageError: too many cannot be read, or are copies.
    """
    calibrating = pool.read_all(parts.calibrating, work / "calibrating.npy")
    if not len(calibrating.labels):
        raise UsageError(f"none of the {pool.failed} images tried can be read")
    choosing = pool.read_all(parts.choosing, work / "choosing.npy")
    if max_drop is not None and len(choosing.labels) < least_images(max_drop / 100):
        raise too_few(max_drop, 2 * len(choosing.labels), "that can be read and differ")
    return calibrating, choosing


def reporting(pool: ImagePool, max_drop: float | None, steps: Sequence[Step]) -> list[Place]:
    """Find labeled images to report on: as many as the limit needs, by those that chose layers.

    Args:
        pool: the input.
        max_drop: points of top-1 that may be lost; None: there is no limit.
        steps: what was seen of the images that chose layers.
    """
    wanted = FEW
    if max_drop is not None:
        seen = steps[-1].against
        parted = (seen.only_original, seen.only_quantized, seen.images)
        wanted = max(FEW, images_needed(*parted, max_drop / 100))
    return pool.find(wanted, labeled=True)


def too_few(max_drop: float, found: int, what: str) -> UsageError:
    """The line that refuses a limit for which there are too few labeled images.

    Args:
        max_drop: points of top-1.
        found: labeled images, half of which would choose layers.
        what: which images they are.
    """
    least = least_images(max_drop / 100)
    # rounded up, so that it is accepted
    finest = math.ceil(1000 * finest_limit(found // 2)) / 10
    instead = f", or name {finest:g} points or more" if finest <= 100 else ""
    return UsageError(
        f"--max-drop {max_drop:g} cannot be shown on {found:,} labeled images {what}: it takes "
        f"{2 * least:,}, {least:,} that choose layers and {least:,} others that report, even if "
        f"int8 and fp32 are right on the same ones; give more{instead}"
    )
