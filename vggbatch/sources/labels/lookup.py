"""Labels by image id: a sorted array that is searched, shared between processes without a copy."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.sources import names


@dataclass(frozen=True)
class Labels:
    """Class index by image name. Pickles as two arrays and the synsets of the classes.

    `keys`: image paths without suffix, their components in reverse (`x/n01440764/val`), UTF-8,
    sorted, shape [n]. `indices`: int32, shape [n]. No keys at all: `embedded` labels, taken from
    the tokens that came with the images.
    """

    synsets: tuple[str, ...]
    keys: npt.NDArray[np.bytes_] | None
    indices: npt.NDArray[np.int32] | None

    @classmethod
    def embedded(cls, synsets: Sequence[str]) -> Labels:
        """Labels that come with the images."""
        return cls(tuple(synsets), None, None)

    @classmethod
    def of(cls, images: Iterable[str], indices: Iterable[int], synsets: Sequence[str]) -> Labels:
        """Labels by image name: a path or its end, with or without an image suffix.

        Raises:
            ValueError: one name has two different labels.
        """
        keys = np.array([_key(name) for name in images], dtype=np.bytes_)
        values = np.array(list(indices), dtype=np.int32)
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        same = keys[1:] == keys[:-1]
        clash = np.flatnonzero(same & (values[1:] != values[:-1]))
        if len(clash):
            name = "/".join(reversed(keys[clash[0]].decode().split("/")))
            raise ValueError(
                f"{name} has two labels, {values[clash[0]]} and {values[clash[0] + 1]}"
            )
        keep = np.concatenate([[True], ~same]) if len(keys) else np.zeros(0, bool)
        return cls(tuple(synsets), keys[keep], values[keep])

    def __len__(self) -> int:
        return 0 if self.keys is None else len(self.keys)

    def match(self, image_ids: Sequence[str], tokens: Sequence[str | None]) -> pa.Array:
        """The class index of each image, int32, null where unknown.

        An image matches the label whose name is the end of its id (at a `/`, image suffixes
        aside), the longest such. Failing that, its id (or, in a shard, its member name) may
        be the end of labels' names, as long as those agree.

        Args:
            image_ids: as in the predictions.
            tokens: the label that came with each image; used by `embedded` labels alone.
        """
        if self.keys is None:
            by_synset = {synset: index for index, synset in enumerate(self.synsets)}
            found = [class_index(token, by_synset) if token else None for token in tokens]
        else:
            found = [self._find(image_id) for image_id in image_ids]
        return pa.array(found, pa.int32())

    def without_image(self, image_ids: Sequence[str]) -> list[str]:
        """Names, without suffix, of the labels that match none of the images; none if embedded."""
        if self.keys is None:
            return []
        used = np.zeros(len(self.keys), bool)
        for image_id in image_ids:
            used[self._places(image_id)] = True
        return ["/".join(reversed(key.decode().split("/"))) for key in self.keys[~used]]

    def _find(self, image_id: str) -> int | None:
        assert self.indices is not None
        values = self.indices[self._places(image_id)]
        return int(values[0]) if len(values) and (values == values[0]).all() else None

    def _places(self, image_id: str) -> slice:
        """Where the labels lie that an image matches."""
        assert self.keys is not None
        parts = names.published_stem(image_id).split("/")[::-1]
        # bisect and not searchsorted, which would convert all keys to the width of each needle
        for count in range(len(parts), 0, -1):
            end = "/".join(parts[:count]).encode()
            place = bisect_left(self.keys, end)
            if place < len(self.keys) and self.keys[place] == end:
                return slice(place, place + 1)
        inside = next((i for i, part in enumerate(parts) if names.shard_format(part)), len(parts))
        whole = "/".join(parts[:inside]).encode() + b"/"
        # "0" is the byte after "/": what lies between are the keys that start with `whole`.
        return slice(bisect_left(self.keys, whole), bisect_left(self.keys, whole[:-1] + b"0"))


def class_index(token: str, by_synset: Mapping[str, int]) -> int | None:
    """The class that a label token means: a WordNet id, or an index; None if it is neither."""
    if names.WNID.fullmatch(token):
        return by_synset.get(token)
    try:
        number = float(token)
    except ValueError:
        return None
    return int(number) if number.is_integer() and 0 <= number < len(by_synset) else None


def _key(name: str) -> bytes:
    parts = names.published_stem(name.removeprefix("./")).split("/")
    return "/".join(reversed(parts)).encode()
