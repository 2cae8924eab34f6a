"""What is made of an image for the networks: pictures at the scales of a protocol, packed.

A center crop travels to the networks as it is. For all other views the whole rescaled picture
travels and is cut there (see views.py): fifty crops of an image would be thirty times its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess.backstop import Limited, TooSlow
from vggbatch.preprocess.decode import NotOrdinaryError, check_bytes, decode_here, thread_seconds
from vggbatch.preprocess.effort import ORDINARY_PIXELS, is_ordinary
from vggbatch.preprocess.guard import guarded_pictures
from vggbatch.preprocess.transform import Pixels, center_crop, pixel_type, rescale, resized_size

_LARGEST_PICTURE = 4 * 2**20
"""Pixels of a rescaled picture. A strip of 16:1 at scale 512; the first layers of a VGG keep 256
bytes for each, twice."""


@dataclass(frozen=True)
class ImageResizer:
    """Image bytes -> pictures; small, and the same wherever it runs."""

    options: DecodeOptions
    resize_specs: tuple[Preprocess, ...]
    """Ways to resize and crop; see `Preprocess.resize_spec`."""
    protocol: Protocol

    @property
    def scales(self) -> int:
        """Pictures of each resize_spec."""
        return len(self.protocol.scales or (None,))

    def __call__(self, data: bytes) -> list[list[Pixels]]:
        """For each resize_spec, one picture a scale; made in another process if that may take long.

        Raises:
            ImageError: what is wrong with the image.
        """
        check_bytes(data, self.options)
        if is_ordinary(data):
            with suppress(NotOrdinaryError, TooSlow), Limited(thread_seconds(data, self.options)):
                return self.make_here(data, ORDINARY_PIXELS)
        return guarded_pictures(data, self)

    def make_here(self, data: bytes, most: int | None = None) -> list[list[Pixels]]:
        """The same in this thread, whatever it takes. Raises as `decode_here`."""
        image = decode_here(data, self.options, self._largest_side, most)
        return [
            [picture(image, profile, self.protocol) for profile in profiles]
            for profiles in self._profiles
        ]

    @cached_property
    def _profiles(self) -> list[list[Preprocess]]:
        """Of each resize_spec, the preprocessing at each scale."""
        return [at_scales(resize_spec, self.protocol) for resize_spec in self.resize_specs]

    @cached_property
    def _largest_side(self) -> int:
        return max(profile.resize for profiles in self._profiles for profile in profiles)

    def packers(self, images: int) -> list[ImageBufferBuilder]:
        """For each resize_spec, an empty packer for so many images."""
        return [
            ImageBufferBuilder(
                self.scales,
                images * _picture_values(resize_spec, self.protocol),
                pixel_type(resize_spec),
            )
            for resize_spec in self.resize_specs
        ]


def at_scales(resize_spec: Preprocess, protocol: Protocol) -> list[Preprocess]:
    """The preprocessing at each of the protocol's scales."""
    sizes = protocol.scales or (resize_spec.resize,)
    return [resize_spec.model_copy(update={"resize": size}) for size in sizes]


def pictures(image: Image.Image, resize_spec: Preprocess, protocol: Protocol) -> list[Pixels]:
    """What travels of an RGB image: one picture a scale. Raises as `picture`."""
    return [picture(image, profile, protocol) for profile in at_scales(resize_spec, protocol)]


def picture(image: Image.Image, profile: Preprocess, protocol: Protocol) -> Pixels:
    """What travels of an RGB image at one scale.

    Raises:
        ImageError: `too_large`: an extreme strip, which rescaled has too many pixels.
    """
    if protocol.views == "center":
        return center_crop(image, profile)
    width, height = resized_size(*image.size, profile)
    if width * height > _LARGEST_PICTURE:
        raise ImageError("too_large", f"rescaled for its views it has {width} x {height} pixels")
    return rescale(image, profile)


def resized_bytes(resize_spec: Preprocess, protocol: Protocol) -> int:
    """Bytes that travel of an image, of all scales; of a photograph of 4:3 where it is whole."""
    return _picture_values(resize_spec, protocol) * np.dtype(pixel_type(resize_spec)).itemsize


def _picture_values(resize_spec: Preprocess, protocol: Protocol) -> int:
    if protocol.views == "center":
        return len(at_scales(resize_spec, protocol)) * resize_spec.crop**2 * 3
    return sum(profile.resize**2 * 4 for profile in at_scales(resize_spec, protocol))


@dataclass(frozen=True)
class ImageBuffer:
    """The pictures of several images in one buffer."""

    flat: Pixels
    """(values,) image by image, scale by scale."""
    sizes: npt.NDArray[np.int32]
    """(images, scales, 2) height and width."""

    def __len__(self) -> int:
        return len(self.sizes)

    def column(self, scale: int) -> list[Pixels]:
        """Every image's picture at a scale, without a copy."""
        lengths = self.sizes.astype(np.int64).prod(axis=2) * 3
        ends = lengths.cumsum().reshape(lengths.shape)
        return [
            self.flat[end - length : end].reshape(height, width, 3)
            for end, length, (height, width) in zip(
                ends[:, scale], lengths[:, scale], self.sizes[:, scale].tolist(), strict=True
            )
        ]


class ImageBufferBuilder:
    """Fills a `ImageBuffer`.

    Args:
        scales: pictures of each image.
        capacity: values expected in all; more is possible, at the price of a copy.
        dtype: of the pictures.
    """

    def __init__(
        self, scales: int, capacity: int, dtype: type[np.uint8] | type[np.float32] = np.uint8
    ) -> None:
        self._scales = scales
        self._flat: Pixels = np.empty(capacity, dtype)
        self._used = 0
        self._sizes: list[tuple[int, int]] = []

    def add(self, images: Sequence[Pixels]) -> None:
        """The pictures of one more image, one a scale."""
        for picture in images:
            end = self._used + picture.size
            if end > len(self._flat):
                grown: Pixels = np.empty(max(end, len(self._flat) * 3 // 2), self._flat.dtype)
                grown[: self._used] = self._flat[: self._used]
                self._flat = grown
            self._flat[self._used : end].reshape(picture.shape)[...] = picture
            self._used = end
            self._sizes.append((picture.shape[0], picture.shape[1]))

    def packed(self) -> ImageBuffer:
        """What was added."""
        sizes = np.array(self._sizes, np.int32).reshape(-1, self._scales, 2)
        return ImageBuffer(self._flat[: self._used], sizes)
