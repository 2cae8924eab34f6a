"""What names say: image suffixes, hidden files, WordNet ids, and how names are made unique."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence

IMAGE_SUFFIXES = frozenset(
    {"jpeg", "jpg", "jpe", "jfif", "png", "gif", "bmp", "dib", "webp", "avif", "tif", "tiff"}
    | {"ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx"}
)
"""Suffixes, lower case and without the dot, of the formats that are decoded."""

WNID = re.compile(r"n\d{8}(?![0-9A-Za-z])")
"""How a name begins that is a WordNet 3.0 noun id, or has one in front: `n02085620-Chihuahua`."""

_SUFFIX_FAMILIES = (
    *({"jpeg", "jpg", "jpe", "jfif"}, {"tif", "tiff"}, {"bmp", "dib"}),
    *({"j2k", "j2c", "jpc"}, {"jp2", "jpf", "jpx"}),
)
_FAMILY = {name: min(family) for family in _SUFFIX_FAMILIES for name in family}

_REPEAT = re.compile(r"#\d+$")
"""What `unique` puts behind a name that came before."""

_SYSTEM = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information"}
)
"""What operating systems and file servers keep beside a user's files: thumbnails, deleted files."""

_HUGGING_FACE = re.compile(r"(?<![^/])(ILSVRC2012_val_\d{8}|n\d{8}_\d+)_n\d{8}$")

_QUERY = re.compile(r"\?query=[0-9a-f]{12}$")

_SHARD = re.compile(
    r"(\.(?P<tar>tar)|\.(?P<parquet>parquet)|\.(?P<recordio>rec)"
    r"|(?P<tfrecord>\.tfrec(ords?)?(-\d+-of-\d+)?|-\d{5}-of-\d{5}))$",
    re.IGNORECASE,
)
"""How the names of shards end, by format. TFRecords are often named `train-00000-of-01024`."""

SHARD_FORMATS = frozenset(_SHARD.groupindex)


def shard_format(name: str) -> str | None:
    """The format of a shard by the end of its name; None if it does not end like a shard's."""
    found = _SHARD.search(name)
    if found is None:
        return None
    return next(name for name, text in found.groupdict().items() if text)


def suffix(name: str) -> str:
    """What follows the last dot of the last path component, in lower case; "" if nothing does."""
    stem, dot, end = name.rpartition(".")
    return end.lower() if dot and stem and stem[-1] != "/" and "/" not in end else ""


def is_image(name: str) -> bool:
    """Whether the name ends like an image's."""
    return suffix(name) in IMAGE_SUFFIXES


def is_hidden(path: str) -> bool:
    """Whether any component of a path is hidden: .git, .DS_Store, AppleDouble ._x, __MACOSX."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part in _SYSTEM
        for part in path.split("/")
    )


def inside(name: str) -> str:
    """The name without what leads out of the folder that it is unpacked into, on any system."""
    parts = re.split(r"[\\/]", name)
    # the address of an image on the web has an empty part, and stays
    empty = "" in parts and "://" not in name
    if ".." not in parts and not empty and not re.fullmatch("[A-Za-z]:", parts[0]):
        return name
    kept = [part for part in parts if part not in ("", ".", "..")]
    if kept and re.fullmatch("[A-Za-z]:", kept[0]):
        kept = kept[1:]
    return "/".join(kept) or "image"


def visible(name: str) -> str:
    """The name with `_` before each part that would be hidden, and where a tar would cut it off."""
    parts = name.replace("\0", "_").split("/")
    return "/".join(f"_{part}" if is_hidden(part) else part for part in parts)


def without_query(name: str) -> str:
    """The name without the digest that stands for the query of an address on the web."""
    return _QUERY.sub("", name) if "?" in name else name


def without_image_suffix(name: str) -> str:
    """The name without its image suffix, if it has one: how label files name images."""
    return name.rpartition(".")[0] if is_image(name) else name


def published_stem(name: str) -> str:
    """The name by which labels know an image: without its image suffix.

    The Hugging Face edition appends the WordNet id to ILSVRC2012's own names, as in
    `ILSVRC2012_val_00000293_n01440764`; that goes too.
    """
    stem = without_image_suffix(without_query(name))
    return _HUGGING_FACE.sub(r"\1", stem) if "_n" in stem else stem


def image_suffix(name: str) -> str:
    """The suffix of an image's name, one for all of the same format; "" if it has none."""
    end = suffix(name)
    return _FAMILY.get(end, end) if end in IMAGE_SUFFIXES else ""


def without_repeat(name: str) -> str:
    """The name without the `#2` of a name that came before."""
    return _REPEAT.sub("", name) if "#" in name else name


def printable(name: str) -> str:
    r"""A file's name as text, with `\xe9` for a byte that is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def wnid_of_folder(path: str) -> str | None:
    """The WordNet id that the nearest folder of an image is named after: train/n01440764/x.JPEG.

    Folders in between are passed over, as tiny-imagenet's n01443537/images/n01443537_0.JPEG has.
    """
    for folder in reversed(path.split("/")[:-1]):
        if found := WNID.match(folder):
            return found[0]
    return None


def unique(names: Sequence[str], avoid: Collection[str] = ()) -> list[str]:
    """The names in their order, each once: repeats, and what is in `avoid`, get `#2`, `#3` ..."""
    given = set(names)
    if len(given) == len(names) and given.isdisjoint(avoid):
        return list(names)
    taken = given.union(avoid)
    seen = dict.fromkeys(avoid, 1)
    result = []
    for name in names:
        count = seen.get(name, 0) + 1
        candidate = name
        while count > 1 and (candidate := f"{name}#{count}") in taken:
            count += 1
        seen[name] = count
        taken.add(candidate)
        result.append(candidate)
    return result


def ancestors(names: Iterable[str]) -> set[str]:
    """Every folder that a name lies in, at any depth."""
    folders: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders
