"""OpenCV's bilinear resize without OpenCV: `cv2.resize(..., interpolation=cv2.INTER_LINEAR)`.

It reads two pixels each way whatever the reduction, so it does not antialias, where Pillow's
bilinear averages all pixels below its filter. Recipes that were written with OpenCV or MXNet
(whose `imresize` is OpenCV's) need this one. For uint8 OpenCV rounds its weights to 11 bits and
cuts its sums; the same integers are used here, so the pixels are the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WEIGHT_BITS = 11
"""INTER_RESIZE_COEF_BITS of OpenCV's resize.cpp."""


def resize_window(
    pixels: npt.NDArray[np.uint8],
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    *,
    as_float: bool = False,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """A window of a resized image, computed without the rest of it.

    Args:
        pixels: (height, width, channels).
        size: width and height of the whole image after resizing.
        window: left, top, right and bottom of the part to compute; inside the resized image.
        as_float: resize the pixels as float32 and do not round them.

    Returns:
        (bottom - top, right - left, channels), uint8 or float32.
    """
    height, width, channels = pixels.shape
    left, top, right, bottom = window
    columns, part_x = _places(width, size[0], left, right)
    part_x[(columns < 0) | (columns >= width - 1)] = 0
    lines, part_y = _places(height, size[1], top, bottom)

    rows = np.stack([lines, lines + 1]).clip(0, height - 1)
    flat = pixels.reshape(height, width * channels).take(rows.ravel(), axis=0)
    both = np.stack([columns, columns + 1]).clip(0, width - 1)
    values = (both[:, :, None] * channels + np.arange(channels)).reshape(2, -1)
    near, far = flat.take(values[0], axis=1), flat.take(values[1], axis=1)
    part_x, part_y = part_x.repeat(channels), part_y[:, None]
    half, shape = bottom - top, (bottom - top, right - left, channels)
    if as_float:
        along = near * (np.float32(1) - part_x)
        along += far * part_x
        blended: npt.NDArray[np.float32] = along[:half] * (np.float32(1) - part_y)
        blended += along[half:] * part_y
        return blended.reshape(shape)
    weight_near, weight_far = _fixed_point(part_x)
    sums = near * weight_near
    sums += far * weight_far
    sums >>= 4
    weight_upper, weight_lower = _fixed_point(part_y)
    total = (sums[:half] * weight_upper) >> 16
    total += (sums[half:] * weight_lower) >> 16
    total += 2
    total >>= 2
    rounded: npt.NDArray[np.uint8] = total.astype(np.uint8).reshape(shape)
    return rounded


def _places(
    length: int, resized: int, start: int, stop: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For the output pixels start..stop the input pixel before each, and how far it is past it."""
    scale = 1 / (resized / length)
    place = ((np.arange(start, stop) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(place)
    return before.astype(np.int64), place - before


def _fixed_point(part: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """The weights of both pixels as OpenCV's integers, half to even."""
    both = np.stack([np.float32(1) - part, part]) * np.float32(1 << _WEIGHT_BITS)
    weights: npt.NDArray[np.int32] = np.rint(both).astype(np.int32)
    return weights
