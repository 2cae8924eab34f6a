"""Labels by image id: a sorted array that is searched, shared between processes without a copy."""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch import uris
from vggbatch.sources import names
from vggbatch.sources.classes import Classes, as_integer, is_unlabeled
from vggbatch.storage.filesystem import public_uri

_Keys = npt.NDArray[np.bytes_]

_PLAIN = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
"""Names that are their own path, as nearly all are: `_as_path` is most of what a name costs."""


@dataclass(frozen=True)
class Labels:
    """Class index by image name. Pickles as three arrays and the classes.

    `keys`: image paths in Unicode's normal form C without suffix, their components in reverse
    (`x/n01440764/val`), UTF-8, sorted, shape [n]. `forms`: for each key the suffix, and the path as
    it was written where that is in another normal form. `indices`: int32, shape [n]. No keys at
    all: `embedded` labels, taken from the tokens that came with the images.
    """

    classes: Classes
    keys: _Keys | None
    forms: _Keys | None
    indices: npt.NDArray[np.int32] | None
    numbered: bool = False
    """Whether all of them were integers, taken as they are for the network's outputs."""

    @classmethod
    def embedded(cls, classes: Classes) -> Labels:
        """Labels that come with the images."""
        return cls(classes, None, None, None)

    @classmethod
    def of(
        cls,
        images: Iterable[str],
        indices: Iterable[int],
        classes: Classes,
        *,
        numbered: bool = False,
    ) -> Labels:
        """Labels by image name.

        Args:
            images: a path or its end of each, with or without an image suffix.
            indices: the class of each.
            classes: of the network.
            numbered: see the attribute.

        Raises:
            ValueError: one name has two different labels.
        """
        parts = [_Name.of(name) for name in images]
        keys = np.array([name.key for name in parts], dtype=np.bytes_)
        forms = np.array([name.form for name in parts], dtype=np.bytes_)
        values = np.array(list(indices), dtype=np.int32)
        order = np.lexsort((forms, keys))
        keys, forms, values = keys[order], forms[order], values[order]
        same = (keys[1:] == keys[:-1]) & (forms[1:] == forms[:-1])
        clash = np.flatnonzero(same & (values[1:] != values[:-1]))
        if len(clash):
            name = _shown(keys[clash[0]], forms[clash[0]])
            raise ValueError(
                f"{name} has two labels, {values[clash[0]]} and {values[clash[0] + 1]}"
            )
        keep = np.concatenate([[True], ~same]) if len(keys) else np.zeros(0, bool)
        return cls(classes, keys[keep], forms[keep], values[keep], numbered)

    def __len__(self) -> int:
        return 0 if self.keys is None else len(self.keys)

    def match(self, image_ids: Sequence[str], tokens: Sequence[str | None]) -> pa.Array:
        """The class index of each image, int32, null where unknown.

        An image matches the label whose name is the end of its id (at a `/`), the longest such.
        Failing that, its id (or, in a shard, its member name) may be the end of labels' names, as
        long as those agree. Image suffixes differ without harm if they are of one format, or if
        one of the two names has none.

        Args:
            image_ids: as in the predictions.
            tokens: the label that came with each image; used by `embedded` labels alone.
        """
        if self.keys is None:
            found = list(map(self._embedded, image_ids, tokens))
        else:
            found = [self._find(image_id) for image_id in image_ids]
        return pa.array(found, pa.int32())

    def token_of(self, image_id: str, token: str | None) -> str | None:
        """What an image has as its embedded label: what came with it, else its folder's name."""
        if token is not None:
            return None if is_unlabeled(token) else token
        parts = image_id.split("/")
        folder = parts[-2] if len(parts) > 1 else ""
        if not folder or names.shard_format(folder):
            return None
        known = self.classes.folders or self.classes.has_name(folder)
        return folder if known or as_integer(folder) is None else None

    def without_class(
        self, image_ids: Sequence[str], tokens: Sequence[str | None]
    ) -> list[tuple[str, str]]:
        """Images whose embedded label means no class, and that label; none if not embedded."""
        if self.keys is not None:
            return []
        pairs = zip(image_ids, map(self.token_of, image_ids, tokens), strict=True)
        return [(i, token) for i, token in pairs if token and self.classes.find(token) is None]

    def without_image(self, image_ids: Iterable[str]) -> list[str]:
        """Names of the labels that match none of the images; none if embedded."""
        if self.keys is None or self.forms is None:
            return []
        used = np.zeros(len(self.keys), bool)
        for image_id in image_ids:
            used[self.places(image_id)] = True
        return [
            _shown(key, form) for key, form in zip(self.keys[~used], self.forms[~used], strict=True)
        ]

    def places(self, image_id: str) -> list[int]:
        """Which of the labels an image matches."""
        base = names.without_repeat(image_id)
        # a label may leave out the query of a URI
        for name in dict.fromkeys((image_id, base, names.without_query(base))):
            if found := self._places(_Name.of(name)):
                return found
        return []

    def name_at(self, place: int) -> str:
        """The name of one of the labels."""
        assert self.keys is not None
        assert self.forms is not None
        return _shown(self.keys[place], self.forms[place])

    def digest(self) -> str:
        """A SHA-256 of all that decides which label an image gets."""
        digest = hashlib.sha256(repr((self.classes.start, self.classes.names)).encode())
        digest.update(repr(self.classes.folders).encode())
        for array in (self.keys, self.forms, self.indices):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _embedded(self, image_id: str, token: str | None) -> int | None:
        label = self.token_of(image_id, token)
        return None if label is None else self.classes.find(label)

    def _find(self, image_id: str) -> int | None:
        assert self.indices is not None
        values = {int(self.indices[place]) for place in self.places(image_id)}
        return values.pop() if len(values) == 1 else None

    def _places(self, image: _Name) -> list[int]:
        assert self.keys is not None
        parts = image.key.split(b"/")
        # bisect and not searchsorted, which would convert all keys to the width of each needle
        for count in range(len(parts), 0, -1):
            end = b"/".join(parts[:count])
            place = bisect_left(self.keys, end)
            if place < len(self.keys) and self.keys[place] == end:
                # "\0" is the byte before any other, so that equal keys end where it would begin
                stop = place
                while stop < len(self.keys) and self.keys[stop] == end:
                    stop += 1
                if found := self._best(image, range(place, stop)):
                    return found
        shard = next((i for i, part in enumerate(parts) if _is_shard(part)), len(parts))
        whole = b"/".join(parts[:shard])
        # "0" is the byte after "/": what lies between are the keys that start with `whole/`.
        longer = range(bisect_left(self.keys, whole + b"/"), bisect_left(self.keys, whole + b"0"))
        return self._best(image, longer)

    def _best(self, image: _Name, places: Iterable[int]) -> list[int]:
        """Those of the labels whose names are most like an image's, among those that may be its."""
        assert self.forms is not None
        ranked: dict[int, list[int]] = {}
        for place in places:
            rank = image.likeness(bytes(self.forms[place]))
            if rank is not None:
                ranked.setdefault(rank, []).append(place)
        return ranked[max(ranked)] if ranked else []


class _Name(NamedTuple):
    """The name of an image or of a label, apart for comparison."""

    key: bytes
    suffix: str
    written: bytes
    """As `key`, in the normal form that it was written in."""

    @classmethod
    def of(cls, name: str) -> _Name:
        path = name if _PLAIN.fullmatch(name) else _as_path(name)
        stem = names.published_stem(path)
        end = names.suffix(path)
        suffix = end if end in names.IMAGE_SUFFIXES else ""
        written = _reversed(stem)
        key = written if stem.isascii() else _reversed(unicodedata.normalize("NFC", stem))
        return cls(key, suffix, written)

    @property
    def form(self) -> bytes:
        return self.suffix.encode() + (b"\0" + self.written if self.written != self.key else b"")

    def likeness(self, form: bytes) -> int | None:
        """How like this image's name is one with the same key; None if it is another image's."""
        if form == self.form:
            return 6 + bool(self.suffix)
        suffix, _, written = form.partition(b"\0")
        other = suffix.decode()
        if other and self.suffix and _format(other) != _format(self.suffix):
            return None
        end = written or b""
        same = (self.written == self.key) if not end else _is_end(self.written, end)
        return 4 * same + 2 * (other == self.suffix) + bool(other and self.suffix)


def _as_path(name: str) -> str:
    """A name as a path of printable text."""
    if uris.protocol(name) == uris.FILE:
        name = uris.local_path(name)
    elif "://" in name:
        name = public_uri(name)
    # a label file from Windows
    return posixpath.normpath(names.printable(name).replace("\\", "/"))


def _format(suffix: str) -> str:
    return names.image_suffix(f"x.{suffix}")


def _is_end(a: bytes, b: bytes) -> bool:
    """Whether one reversed path is the end of the other."""
    short, long = sorted((a.split(b"/"), b.split(b"/")), key=len)
    return long[: len(short)] == short


def _is_shard(part: bytes) -> bool:
    return names.shard_format(part.decode("utf-8", "surrogateescape")) is not None


def _reversed(path: str) -> bytes:
    return "/".join(reversed(path.split("/"))).encode("utf-8", "surrogateescape")


def _shown(key: bytes, form: bytes) -> str:
    """The name of a label as it was written."""
    suffix, _, written = bytes(form).partition(b"\0")
    path = "/".join(reversed((written or bytes(key)).decode("utf-8", "replace").split("/")))
    return f"{path}.{suffix.decode()}" if suffix else path


def names_without_image(names: Sequence[str], image_ids: Iterable[str]) -> list[str]:
    """Those of a label file's names that match none of the images."""
    return Labels.of(names, [0] * len(names), Classes(())).without_image(image_ids)
