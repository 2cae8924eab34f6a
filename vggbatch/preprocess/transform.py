"""From a decoded image to a crop, and from crops to the network's input.

The two halves run in different places: crops are made where images are decoded (150 kB an image
through the object store as uint8, 600 kB where a profile resizes in float32), values are made next
to the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vggbatch.config import Preprocess
from vggbatch.preprocess.opencv import resize_window

Pixels = npt.NDArray[np.uint8 | np.float32]
"""RGB, (height, width, 3), 0 to 255."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

_LARGEST_RESIZED = 16 * 2**20
"""Pixels. A strip of 1 x 30,000 becomes 256 x 7,680,000: beyond this only the crop is computed,
which rounds some values differently by one and takes no memory."""


def resized_size(width: int, height: int, profile: Preprocess) -> tuple[int, int]:
    """Width and height in pixels after resizing.

    The longer side is rounded as the zoo's imagenet_preprocess.py rounds it (Python's `round` of
    the scale times the side), or truncated as GluonCV's resize_short does it (whole numbers).
    """
    if profile.resize_mode == "squash":
        return profile.resize, profile.resize
    if profile.long_side == "truncate":
        short = min(width, height)
        return profile.resize * width // short, profile.resize * height // short
    scale = float(profile.resize) / min(width, height)
    if width > height:
        return round(scale * width), profile.resize
    return profile.resize, round(scale * height)


def pixel_type(profile: Preprocess) -> type[np.uint8] | type[np.float32]:
    """Of the crops that a profile makes."""
    return np.float32 if profile.pixels == "float32" else np.uint8


def rescale(image: Image.Image, profile: Preprocess) -> Pixels:
    """Resize an RGB image as the profile does, uncropped."""
    width, height = resized_size(*image.size, profile)
    if profile.resizer == "opencv":
        return _opencv(image, (width, height), (0, 0, width, height), profile)
    return np.asarray(image.resize((width, height), _RESAMPLING[profile.interpolation]))


def center_crop(image: Image.Image, profile: Preprocess) -> Pixels:
    """Resize an RGB image and cut its center.

    Returns:
        Array (crop, crop, 3) of `pixel_type` in RGB, whatever order the network wants.
    """
    width, height = resized_size(*image.size, profile)
    left, top = width // 2 - profile.crop // 2, height // 2 - profile.crop // 2
    crop = (left, top, left + profile.crop, top + profile.crop)
    resampling = _RESAMPLING[profile.interpolation]
    if profile.resizer == "opencv":
        return _opencv(image, (width, height), crop, profile)
    if width * height <= _LARGEST_RESIZED:
        return np.asarray(image.resize((width, height), resampling).crop(crop))
    across, down = image.width / width, image.height / height
    box = (crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down)
    return np.asarray(image.resize((profile.crop, profile.crop), resampling, box))


def _opencv(
    image: Image.Image,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    profile: Preprocess,
) -> Pixels:
    as_float = profile.pixels == "float32"
    return resize_window(np.asarray(image), size, window, as_float=as_float)


class Normalizer:
    """Turns RGB crops into float32 network input.

    uint8 crops by a table of 256 values a channel: it gives exactly (pixel / scale - mean) / std
    rounded once to float32, at a fifth of the cost of computing it for every pixel in float64.
    float32 crops by the same line in float32.
    """

    def __init__(self, profile: Preprocess, *, layout: str = "NCHW") -> None:
        pixels = np.arange(256, dtype=np.float64)
        self.tables = [
            ((pixels / profile.scale - mean) / std).astype(np.float32)
            for mean, std in zip(profile.mean, profile.std, strict=True)
        ]
        self.lines = [
            (np.float32(1 / (profile.scale * std)), np.float32(-mean / std))
            for mean, std in zip(profile.mean, profile.std, strict=True)
        ]
        self.sources = (0, 1, 2) if profile.channels == "RGB" else (2, 1, 0)
        self.layout = layout

    def __call__(self, crops: Pixels) -> npt.NDArray[np.float32]:
        """Normalize crops (n, h, w, 3) to float32 (n, 3, h, w), or (n, h, w, 3) for NHWC."""
        n, height, width, _ = crops.shape
        nchw = self.layout == "NCHW"
        shape = (n, 3, height, width) if nchw else (n, height, width, 3)
        values = np.empty(shape, np.float32)
        for channel, source in enumerate(self.sources):
            target = values[:, channel] if nchw else values[..., channel]
            pixels: npt.NDArray[Any] = crops[..., source]
            if crops.dtype == np.uint8:
                # mode="clip" writes straight into `out`; every uint8 is a valid index anyway
                np.take(self.tables[channel], pixels, out=target, mode="clip")
            else:
                slope, offset = self.lines[channel]
                np.multiply(pixels, slope, out=target)
                target += offset
        return values
