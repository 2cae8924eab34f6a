"""Preprocessing as anyone would write it: what all the peers run.

OpenCV's filter is vggbatch's own, so that the peers need no OpenCV; it gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from vggbatch.preprocess.opencv import resize_window
from vggbatch.preprocess.transform import Pixels

_DECODING_THREADS = 2
"""Of the loops that decode ahead; a peer does not know the machine."""


@dataclass(frozen=True)
class Recipe:
    """The parts of a preprocessing profile, as `config.Preprocess` has them."""

    resize: int
    resize_mode: str
    crop: int
    interpolation: str
    channels: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    long_side: str = "round"
    resizer: str = "pillow"
    pixels: str = "uint8"


def crop_of(file: Path | BinaryIO, recipe: Recipe) -> Pixels:
    """An image file -> RGB (crop, crop, 3)."""
    with Image.open(file) as image:
        return crop_pixels(image.convert("RGB"), recipe)


def crop_pixels(image: Image.Image, recipe: Recipe) -> Pixels:
    """An RGB image -> RGB (crop, crop, 3)."""
    width, height = recipe.resize, recipe.resize
    if recipe.resize_mode == "shorter":
        scale = recipe.resize / min(image.size)
        whole = round if recipe.long_side == "round" else int
        if image.width > image.height:
            width = whole(scale * image.width)
        else:
            height = whole(scale * image.height)
    left, top = width // 2 - recipe.crop // 2, height // 2 - recipe.crop // 2
    window = (left, top, left + recipe.crop, top + recipe.crop)
    if recipe.resizer == "opencv":
        as_float = recipe.pixels == "float32"
        return resize_window(np.asarray(image), (width, height), window, as_float=as_float)
    filtered = image.resize((width, height), Image.Resampling[recipe.interpolation.upper()])
    return np.asarray(filtered.crop(window))


def batches_of_crops(
    files: Sequence[Path], recipe: Recipe, batch: int, *, ahead: int
) -> Iterator[Pixels]:
    """Crops RGB (n, crop, crop, 3) in batches, while two threads decode so many ahead."""
    with ThreadPoolExecutor(_DECODING_THREADS) as pool:
        coming = [pool.submit(crop_of, file, recipe) for file in files[: ahead * batch]]
        for first in range(0, len(files), batch):
            ready, coming = coming[:batch], coming[batch:]
            crops = np.stack([crop.result() for crop in ready])
            more = files[first + ahead * batch : first + (ahead + 1) * batch]
            coming += [pool.submit(crop_of, file, recipe) for file in more]
            yield crops


def network_input(crops: Pixels, recipe: Recipe, layout: str) -> npt.NDArray[np.float32]:
    """RGB (n, crop, crop, 3) -> normalized float32 (n, 3, crop, crop), or as it is (NHWC)."""
    ordered = crops if recipe.channels == "RGB" else crops[..., ::-1]
    mean, std = np.array(recipe.mean, np.float32), np.array(recipe.std, np.float32)
    values = (ordered / np.float32(recipe.scale) - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if layout == "NCHW" else values)
