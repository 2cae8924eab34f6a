"""How many images there are: counted where that is known, else estimated from bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vggbatch.sources import Shard

if TYPE_CHECKING:
    from vggbatch.chunks.chunk import NumberedShard
    from vggbatch.output.progress import Progress

_TYPICAL_IMAGE_BYTES: float = 130_000
"""ILSVRC2012_img_val.tar: 6.3 GB of 50,000 images."""


def counted_images(shard: Shard) -> int | None:
    """Images in a shard, None where it takes opening it to know."""
    return shard.images if shard.members is None else int(shard.members.num_rows)


def estimated_images(shard: Shard) -> int:
    """Images in a shard: counted, else from its size."""
    counted = counted_images(shard)
    return max(1, int(shard.size / _TYPICAL_IMAGE_BYTES)) if counted is None else counted


class Total:
    """The images of an input while its shards are opened one by one.

    Those not opened yet are taken to have images as large as those that were, and as in ImageNet
    while there is none.

    Args:
        shards: the input.
        progress: what is committed of it, and so was opened.
    """

    def __init__(self, shards: Iterable[NumberedShard], progress: Progress) -> None:
        self._counted = progress.grouped_rows
        self._unopened: dict[int, Shard] = {}
        self._unknown = self._unknown_bytes = 0
        """Shards whose images were not counted, and their bytes."""
        self._opened_images, self._opened_bytes = progress.grouped_rows, 0
        for number, group, shard in shards:
            counted = counted_images(shard)
            if group in progress.groups:
                if shard.members is None:
                    self._opened_bytes += max(0, shard.size)
                else:
                    self._opened_images -= counted or 0
                continue
            if shard.members is None:
                self._unopened[number] = shard
            if counted is None:
                self._unknown += 1
                self._unknown_bytes += max(0, shard.size)
            self._counted += counted or 0
        for number, images in progress.images.items():
            self.opened(number, images)

    def opened(self, number: int, images: int) -> None:
        """A shard was opened, perhaps not for the first time, and has so many images."""
        shard = self._unopened.pop(number, None)
        if shard is None:
            return
        size = max(0, shard.size)
        if shard.images is None:
            self._unknown -= 1
            self._unknown_bytes -= size
        self._counted += images - (shard.images or 0)
        self._opened_images += images
        self._opened_bytes += size

    @property
    def exact(self) -> bool:
        """Whether all were counted."""
        return not self._unknown

    @property
    def images(self) -> int:
        """How many there are, as far as is known."""
        size = _TYPICAL_IMAGE_BYTES
        if self._opened_images and self._opened_bytes:
            size = self._opened_bytes / self._opened_images
        return self._counted + max(self._unknown, round(self._unknown_bytes / size))
