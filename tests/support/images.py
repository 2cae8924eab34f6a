"""Images for tests: real photographs of scikit-image, and as many small ones as wanted."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "camera", "brick", "grass", "gravel")


@cache
def photograph(name: str) -> Image.Image:
    """A photograph of scikit-image, in its own mode."""
    return Image.fromarray(getattr(skimage.data, name)())


def jpeg(image: Image.Image, **options: object) -> bytes:
    """JPEG bytes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def cut(number: int, *, width: int = 72, height: int = 56) -> Image.Image:
    """A small piece of a photograph, another one for every number."""
    image = photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]).convert("RGB")
    rng = np.random.default_rng(number)
    left = int(rng.integers(0, image.width - width))
    top = int(rng.integers(0, image.height - height))
    return image.crop((left, top, left + width, top + height))


def write_folder(folder: Path, count: int, *, start: int = 0) -> list[str]:
    """`count` small JPEGs named by their number; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:05d}.jpg" for number in range(start, start + count)]
    for number, name in enumerate(names, start):
        (folder / name).write_bytes(jpeg(cut(number)))
    return names
