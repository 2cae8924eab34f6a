"""Images of an input, found before they are read, and each used for one purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.config import ColumnOptions, DecodeOptions, Preprocess, Selection
from vggbatch.errors import ImageError
from vggbatch.job.own_classes import with_own_classes
from vggbatch.labels import Labels
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.transform import center_crop
from vggbatch.sources import InputWarning, reader_for, select, survey
from vggbatch.sources.base import left_out_of
from vggbatch.sources.input_warnings import input_warnings_of, merged
from vggbatch.sources.tables.columns import Reading

_AT_ONCE = 64
"""Images whose bytes are held at once."""


@dataclass(frozen=True, order=True)
class Place:
    """Where an image is."""

    shard: int
    row: int
    """Of the shard's members."""


@dataclass(frozen=True)
class Images:
    """Images that were read."""

    crops: npt.NDArray[Any]
    """[n, crop, crop, 3] RGB, of the profile's type of pixels."""
    labels: npt.NDArray[np.int32]
    """[n] class index, -1 where unknown."""


class ImagePool:
    """The images of inputs. `find` gives places that it has not given before, evenly spread.

    Args:
        inputs: as `score` takes them.
        profile: how images are cropped.
        labels: what is known of them.
        columns: names columns of tables and of Parquet.
        wanted: the images of the inputs that this is about; None: all.

    Raises:
        UsageError: there is no such input, or it is in doubt which classes its labels mean.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        profile: Preprocess,
        labels: Labels | None = None,
        columns: ColumnOptions | None = None,
        wanted: Selection | None = None,
    ) -> None:
        embedded = labels is not None and labels.keys is None
        classes = labels.classes if labels is not None else None
        found = survey(list(inputs), Reading(columns or ColumnOptions(), classes, labels=embedded))
        if labels is not None:
            labels, _ = with_own_classes(labels, found.shards)
        self._profile, self._labels = profile, labels
        self._options = DecodeOptions()
        self._shards = select(found.shards, wanted or Selection())
        self._members: dict[int, pa.Table] = {}
        self._classes: dict[int, npt.NDArray[np.int32]] = {}
        self._left_out = found.left_out
        self._given: set[Place] = set()
        self._seen: set[bytes] = set()
        self.failed = 0
        """Images that could not be read."""
        self.repeated = 0
        """Images with the same pixels as one before."""

    @property
    def left_out(self) -> tuple[InputWarning, ...]:
        """What else is in the input, and in the shards that were opened, by kind."""
        return input_warnings_of(self._left_out)

    @property
    def known(self) -> int:
        """Images in the shards that were opened."""
        return sum(map(len, self._members.values()))

    def label(self, place: Place) -> int:
        """The class of an image that was found, -1 where unknown."""
        return int(self._classes[place.shard][place.row])

    def find(self, count: int, *, labeled: bool = False) -> list[Place]:
        """Places of images spread evenly over the inputs; fewer only if there are no more.

        No more shards are opened than images are wanted, unless those have too few.

        Args:
            count: how many.
            labeled: only those whose class is known.
        """
        left = self._left(_spread(len(self._shards), count), labeled)
        if len(left) < count:
            left = self._left(range(len(self._shards)), labeled)
        chosen = [left[i] for i in _spread(len(left), count)]
        self._given.update(chosen)
        return chosen

    def give_back(self, places: Iterable[Place]) -> None:
        """Let places be found again that were not read."""
        self._given.difference_update(places)

    def read(self, places: Sequence[Place]) -> Iterator[tuple[npt.NDArray[Any], int]]:
        """The crop and the class (-1: unknown) of each image, those left out that do not decode.

        So are those with the same pixels as an image that was read before: a copy would be
        counted twice, or report on what it has helped to choose.
        """
        for shard, group in groupby(sorted(places), key=lambda place: place.shard):
            rows = [place.row for place in group]
            for start in range(0, len(rows), _AT_ONCE):
                yield from self._read(shard, rows[start : start + _AT_ONCE])

    def read_all(self, places: Sequence[Place], file: Path) -> Images:
        """Read images into a file that is mapped: memory does not grow with their number.

        Args:
            places: as `find` gave them.
            file: a new file.
        """
        side = self._profile.crop
        kind = np.dtype(self._profile.pixels)
        shape = (max(1, len(places)), side, side, 3)
        crops = np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=shape)
        labels = np.full(len(places), -1, np.int32)
        count = 0
        for crop, label in self.read(places):
            crops[count], labels[count] = crop, label
            count += 1
        return Images(np.asarray(crops)[:count], labels[:count])

    def _left(self, shards: Iterable[int], labeled: bool) -> list[Place]:
        """The places in some shards that are not given yet, in their order."""
        found = []
        for shard in shards:
            self._open(shard)
            for row, label in enumerate(self._classes[shard].tolist()):
                if (label >= 0 or not labeled) and Place(shard, row) not in self._given:
                    found.append(Place(shard, row))
        return found

    def _open(self, number: int) -> None:
        if number in self._members:
            return
        shard = self._shards[number]
        members = reader_for(shard.format).members(shard)
        self._left_out = merged(self._left_out, left_out_of(members))
        known = np.full(len(members), -1, np.int32)
        if self._labels is not None:
            tokens = members["label"].to_pylist()
            found = self._labels.match(shard.image_ids(members), tokens).to_pylist()
            known[:] = [-1 if label is None else label for label in found]
        self._members[number], self._classes[number] = members, known

    def _read(self, number: int, rows: list[int]) -> Iterator[tuple[npt.NDArray[Any], int]]:
        shard = self._shards[number]
        members = self._members[number].take(rows)
        contents = reader_for(shard.format).read(shard, members, self._options.max_bytes)
        for data, row in zip(contents, rows, strict=True):
            try:
                if isinstance(data, ImageError):
                    raise data
                crop = center_crop(decode_image(data, self._options), self._profile)
            except ImageError:
                self.failed += 1
                continue
            digest = hashlib.blake2b(np.ascontiguousarray(crop).data, digest_size=16).digest()
            if digest in self._seen:
                self.repeated += 1
                continue
            self._seen.add(digest)
            yield crop, int(self._classes[number][row])


def _spread(length: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, length - 1, min(length, wanted)).astype(np.int64)
