"""The views that a protocol takes of an image: crops of its pictures, or the whole of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggbatch.config import Preprocess, Protocol
from vggbatch.config.protocol import Crops
from vggbatch.preprocess.image_buffer import at_scales
from vggbatch.preprocess.transform import Pixels

GRID = 5
"""Crops along each side of the grid (Simonyan and Zisserman 2014, section 4.3)."""

_COUNTS: dict[Crops | None, int] = {None: 0, "center": 1, "ten": 5, "grid": GRID * GRID}


@dataclass(frozen=True)
class View:
    """One look at an image."""

    scale: int
    """Position among the scales."""
    crop: int | None
    """Number of the crop; None: the whole picture."""
    mirrored: bool
    weight: float
    """Of its probabilities in the average; those of all views add up to 1."""


def views(protocol: Protocol) -> list[View]:
    """All views of an image, in the order in which their probabilities are added up."""
    count = _COUNTS[protocol.crops]
    crops: list[int | None] = [*range(count), *([None] if protocol.dense else [])]
    scales = range(len(protocol.scales or (None,)))
    each = len(scales) * len(protocol.mirrored)
    # crops and the whole picture, where both are there, count a half each
    halves = 2 if count and protocol.dense else 1
    return [
        View(scale, crop, mirrored, 1 / (each * halves * (1 if crop is None else count)))
        for scale in scales
        for crop in crops
        for mirrored in protocol.mirrored
    ]


def describe(protocol: Protocol, resize_spec: Preprocess) -> dict[str, Any]:
    """The protocol as run.json records it, its defaults filled in."""
    return {
        "views": protocol.views,
        "scales": [profile.resize for profile in at_scales(resize_spec, protocol)],
        "flip": len(protocol.mirrored) > 1,
        "views_an_image": len(views(protocol)),
    }


def in_words(described: Mapping[str, Any]) -> str:
    """What `describe` gave as a phrase: `10 views an image: ten at 256, mirrored too`."""
    count, scales = described["views_an_image"], ", ".join(map(str, described["scales"]))
    views = f"{count} view{'s' if count > 1 else ''} an image: {described['views']} at {scales}"
    return f"{views}, mirrored too" if described["flip"] else views


def work(resize_spec: Preprocess, protocol: Protocol) -> float:
    """What the views of a photograph of 4:3 cost a network, in single crops."""
    total = 0.0
    for view in views(protocol):
        size = at_scales(resize_spec, protocol)[view.scale].resize
        total += 1 if view.crop is not None else size**2 * 4 / 3 / resize_spec.crop**2
    return total


def cut(picture: Pixels, kind: Crops, number: int, crop: int) -> Pixels:
    """One crop of a picture, without a copy."""
    height, width, _ = picture.shape
    top, left = _corners(kind, height, width, crop)[number]
    return picture[top : top + crop, left : left + crop]


def _corners(kind: Crops, height: int, width: int, crop: int) -> list[tuple[int, int]]:
    """Top and left of each crop: `ten`, the corners, then the center; `grid`, row by row."""
    center = (height // 2 - crop // 2, width // 2 - crop // 2)
    if kind == "center":
        return [center]
    bottom, right = height - crop, width - crop
    if kind == "ten":
        return [(0, 0), (0, right), (bottom, 0), (bottom, right), center]
    rows, columns = (np.rint(np.linspace(0, end, GRID)).astype(int) for end in (bottom, right))
    return [(int(top), int(left)) for top in rows for left in columns]
