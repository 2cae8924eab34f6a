"""The ILSVRC2012 development kit, as published: ILSVRC2012_devkit_t12.tar.gz or its folder.

Its validation ground truth numbers the classes in an order of its own. meta.mat translates: of
its synsets those without children are the thousand classes, `ILSVRC2012_ID` is the number in the
ground truth, `WNID` the WordNet id; the class index is the place among the model's classes, which
for ImageNet is the place among the sorted WordNet ids.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable

import numpy as np

from vggbatch.errors import ImageError, UsageError
from vggbatch.extras import command_for
from vggbatch.labels.lookup import Labels
from vggbatch.sources.classes import Classes
from vggbatch.sources.formats.tar import walk

_MAX_UNPACKED = 2**27
"""Bytes of the archive, and of meta.mat, unpacked; as published they are below 2**24."""
_COMPRESSED = 15
"""A MATLAB file's element that holds another one compressed."""

META = "meta.mat"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def is_archive(name: str) -> bool:
    """Whether a file is a development kit by its name."""
    base = name.rstrip("/").rsplit("/", 1)[-1]
    return "devkit" in base and base.endswith((".tar.gz", ".tgz", ".tar"))


def from_archive(data: bytes, classes: Classes) -> Labels:
    """Labels from the bytes of the .tar.gz. Raises ValueError if it is no development kit."""
    found: dict[str, bytes] = {}
    plain = _unpacked(data) if data[:2] == b"\x1f\x8b" else data
    try:
        for name, info in walk(io.BytesIO(plain), "", len(plain)):
            base = name.rsplit("/", 1)[-1]
            if base in (META, GROUND_TRUTH) and isinstance(info, tarfile.TarInfo):
                found[base] = plain[info.offset_data : info.offset_data + info.size]
    except ImageError as error:
        raise ValueError(f"not a readable archive ({error.message})") from None
    return _labels(found.__getitem__, classes)


def _unpacked(data: bytes) -> bytes:
    """What gzip holds, one member or several."""
    parts: list[bytes] = []
    left = _MAX_UNPACKED
    try:
        while data:
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
            parts.append(unpack.decompress(data, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise ValueError(f"not a development kit: it unpacks to more than {_MAX_UNPACKED}")
            if not unpack.eof:
                raise ValueError("not a readable archive (cut short)")
            data = unpack.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise ValueError(f"not a readable archive ({error})") from None
    return b"".join(parts)


def from_folder(read: Callable[[str], bytes], classes: Classes) -> Labels:
    """Labels from a folder: `read` gives a file of its `data` folder.

    Raises:
        ValueError: it is no development kit.
    """
    return _labels(read, classes)


def _labels(read: Callable[[str], bytes], classes: Classes) -> Labels:
    try:
        meta, truth = read(META), read(GROUND_TRUTH)
    except (KeyError, FileNotFoundError):
        raise ValueError(f"no development kit: {META} and {GROUND_TRUTH} are needed") from None
    wnid_of = _leaves(meta)
    names, indices = [], []
    for line, text in enumerate(truth.decode("ascii").split(), 1):
        wnid = wnid_of.get(int(text))
        if wnid is None:
            raise ValueError(f"{GROUND_TRUTH} line {line}: {text} is no class of {META}")
        index = classes.find(wnid)
        if index is None:
            raise ValueError(classes.explain(wnid))
        # without a suffix: the images may have been converted
        names.append(f"ILSVRC2012_val_{line:08d}")
        indices.append(index)
    return Labels.of(names, indices, classes)


def _leaves(meta: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> WordNet id of the synsets without children."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError(f"reading the devkit needs scipy: {command_for('scipy')}") from None
    try:
        plain = io.BytesIO(_uncompressed(meta))
        rows = np.atleast_1d(loadmat(plain, squeeze_me=True)["synsets"])
        return {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in rows
            if int(row["num_children"]) == 0
        }
    except Exception as error:  # scipy meets hostile bytes with any exception there is
        raise ValueError(f"{META} cannot be read ({error})") from None


def _uncompressed(meta: bytes) -> bytes:
    """A MATLAB file of version 5 whose variables are not compressed, so that it cannot grow."""
    order = {b"IM": "<", b"MI": ">"}.get(meta[126:128])
    if order is None:
        raise ValueError("not a MATLAB file of version 5")
    parts, place, left = [meta[:128]], 128, _MAX_UNPACKED
    while place + 8 <= len(meta):
        kind, size = struct.unpack_from(f"{order}II", meta, place)
        content = meta[place + 8 : place + 8 + size]
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            content = unpack.decompress(content, left + 1)
            if unpack.unconsumed_tail or len(content) > left:
                raise ValueError(f"it unpacks to more than {_MAX_UNPACKED} bytes")
            left -= len(content)
            parts.append(content)
        else:
            parts.append(meta[place : place + 8] + content)
        place += 8 + size
    return b"".join(parts)
