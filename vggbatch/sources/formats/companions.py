"""Images that lie beside the picture they belong to: masks, depth maps, thumbnails.

In a tar a sample's key joins them (webdataset.py). In folders they are files like any other, so
each stays a row, and they are named before the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vggbatch.sources import names
from vggbatch.sources.formats.webdataset import NO_PICTURE

_PICTURES = ("image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture")
_FOLDERS = frozenset({*_PICTURES, "pictures", "rgb", "color", "input", "inputs", "leftimg8bit"})
"""What a folder of pictures beside one of masks is called."""

_WORD = "|".join(sorted(NO_PICTURE, key=len, reverse=True))
_ANY = re.compile(f"(?<![a-z0-9])(?:{_WORD})(?![a-z])", re.IGNORECASE)
_OF_STEM = re.compile(f"(?:(.+)[._-](?:{_WORD})|(?:{_WORD})[._-](.+))", re.IGNORECASE)
"""Names like `x.seg`, `x_mask` and `mask_x`, with the name of the picture."""


def companions(image_names: Sequence[str]) -> list[str]:
    """Names of images that are called like masks and the like of others among them.

    `x.seg.png`, `x_mask.png` and `mask_x.png` beside `x.jpg`; `masks/x.png` beside
    `images/x.jpg`.
    """
    suspects = [name for name in image_names if _ANY.search(name)]
    if not suspects:
        return []
    stems = {names.without_image_suffix(name) for name in image_names}
    folders = {f for name in image_names for f in name.split("/")[:-1] if f.lower() in _FOLDERS}
    return [name for name in suspects if any(p in stems for p in _pictures_of(name, folders))]


def _pictures_of(name: str, folders: set[str]) -> Iterator[str]:
    """The stems that the picture of a mask would have."""
    stem = names.without_image_suffix(name)
    folder, slash, base = stem.rpartition("/")
    if found := _OF_STEM.fullmatch(base):
        base = found[1] or found[2]
        yield folder + slash + base
    parts = folder.split("/")
    for place, part in enumerate(parts):
        if part.lower() in NO_PICTURE:
            for other in folders:
                yield "/".join([*parts[:place], other, *parts[place + 1 :], base])
