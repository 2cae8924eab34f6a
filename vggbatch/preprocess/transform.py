"""From a decoded image to a uint8 crop, and from crops to the network's input.

The two halves run in different places: crops are made in the decoding tasks (150 kB an image
through the object store), values are made next to the network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from vggbatch.config import Preprocess

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

    The longer side is rounded as the zoo's imagenet_preprocess.py rounds it: Python's `round`
    of the scale times the side.
    """
    if profile.resize_mode == "squash":
        return profile.resize, profile.resize
    scale = float(profile.resize) / min(width, height)
    if width > height:
        return round(scale * width), profile.resize
    return profile.resize, round(scale * height)


def rescale(image: Image.Image, profile: Preprocess) -> Image.Image:
    """Resize an RGB image as the profile does, uncropped."""
    return image.resize(resized_size(*image.size, profile), _RESAMPLING[profile.interpolation])


def center_crop(image: Image.Image, profile: Preprocess) -> npt.NDArray[np.uint8]:
    """Resize an RGB image and cut its centre.

    Returns:
        uint8 array (crop, crop, 3) in RGB, whatever order the network wants.
    """
    width, height = resized_size(*image.size, profile)
    left, top = width // 2 - profile.crop // 2, height // 2 - profile.crop // 2
    crop = (left, top, left + profile.crop, top + profile.crop)
    if width * height <= _LARGEST_RESIZED:
        return np.asarray(rescale(image, profile).crop(crop))
    across, down = image.width / width, image.height / height
    box = (crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down)
    resampling = _RESAMPLING[profile.interpolation]
    return np.asarray(image.resize((profile.crop, profile.crop), resampling, box))


class Normaliser:
    """Turns uint8 RGB crops into float32 network input by a table of 256 values a channel.

    A table gives exactly (pixel / scale - mean) / std rounded once to float32, at a fifth of the
    cost of computing it for every pixel in float64.
    """

    def __init__(self, profile: Preprocess, *, layout: str = "NCHW") -> None:
        pixels = np.arange(256, dtype=np.float64)
        self.tables = [
            ((pixels / profile.scale - mean) / std).astype(np.float32)
            for mean, std in zip(profile.mean, profile.std, strict=True)
        ]
        self.sources = (0, 1, 2) if profile.channels == "RGB" else (2, 1, 0)
        self.layout = layout

    def __call__(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Normalise crops (n, h, w, 3) to float32 (n, 3, h, w), or (n, h, w, 3) for NHWC."""
        n, height, width, _ = crops.shape
        nchw = self.layout == "NCHW"
        shape = (n, 3, height, width) if nchw else (n, height, width, 3)
        values = np.empty(shape, np.float32)
        for channel, (source, table) in enumerate(zip(self.sources, self.tables, strict=True)):
            target = values[:, channel] if nchw else values[..., channel]
            # mode="clip" writes straight into `out`; every uint8 is a valid index anyway
            np.take(table, crops[..., source], out=target, mode="clip")
        return values
