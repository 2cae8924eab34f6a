"""Pillow's switches, which are global to a process, and how a caller of this package keeps them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile

from vggbatch.config import DecodeOptions

_LARGE = ("ignore", None, Image.DecompressionBombWarning, None, 0)
"""A filter as `warnings.filters` has it."""


def set_globals(options: DecodeOptions) -> None:
    """Switch Pillow for images of a job; a process decodes for one at a time."""
    ImageFile.LOAD_TRUNCATED_IMAGES = options.truncated
    # Pillow refuses above twice its limit, before the size can be looked at
    Image.MAX_IMAGE_PIXELS = options.max_pixels // 2 + 1
    # It warns of odd metadata and of large images. Neither changes a pixel, a worker's log is no
    # place for a line per image, and max_pixels decides what is too large
    if _LARGE not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@contextlib.contextmanager
def kept_globals() -> Iterator[None]:
    """Put back at the end what decoding in this process, which is the caller's, has switched."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before
