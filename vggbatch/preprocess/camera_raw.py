"""Raw files of cameras, which are TIFFs: what an ordinary decoder finds in them is a small preview.

NEF, ARW, DNG, PEF, SRW, 3FR and others keep a thumbnail where a TIFF has its picture, and what the
sensor saw in a directory of its own; so a decoder of TIFF gives the thumbnail and no error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

from vggbatch.preprocess.content import CONVERT, Content, Form, recognize

_ORDERS = {b"II": "<", b"MM": ">"}
_BIG = 43
"""Version of a TIFF whose offsets have 64 bits; others have 32."""

_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS = 254, 262, 330
_ONLY_RAW = frozenset({33421, 33422, 50706})
"""CFARepeatPatternDim and CFAPattern of TIFF/EP, DNGVersion."""
_SENSOR = frozenset({32803, 34892})
"""Photometric interpretations: color filter array, linear raw."""
_REDUCED = 1
"""Bit of the subfile type: a smaller version of another image of this file."""

_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
"""Bytes of a value by the number of its type, of the types that these tags may have."""
_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MOST_DIRECTORIES = 16
_MOST_ENTRIES = 1024
_MOST_VALUES = 16
"""Bounds for hostile files; a raw file has up to six directories of some 60 entries."""

_RAW = Content(Form.RAW, "a camera's raw file", CONVERT)
_PREVIEW = Content(
    Form.RAW, "a TIFF that begins with a preview of its picture, as raw files do", CONVERT
)


def camera_raw(data: bytes) -> Content | None:
    """What a raw file is, by its content; None of everything else.

    >>> camera_raw(b"II*" + bytes(20)) is None
    True
    """
    order = _ORDERS.get(data[:2])
    if order is None:
        return None
    content = recognize(data[:16])
    if content is not None and content.form is Form.RAW:
        return content
    directories: list[dict[int, list[int]]] = []
    with suppress(struct.error):  # cut short, which the decoder says of other files
        directories.extend(_directories(data, order))
    for tags in directories:
        if _ONLY_RAW.intersection(tags) or _SENSOR.intersection(tags.get(_PHOTOMETRIC, ())):
            return _RAW
    first = next(iter(directories), {})
    if len(directories) > 1 and first.get(_SUBFILE_TYPE, [0])[0] & _REDUCED:
        return _PREVIEW
    return None


def _directories(data: bytes, order: str) -> Iterator[dict[int, list[int]]]:
    """The tags of a TIFF's directories, those of sub-directories too, the first one first."""
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if version == _BIG:
        layout = f"{order}HHQ8s"
        count_format, offset_format, start = f"{order}Q", f"{order}Q", 8
    elif version == 42:
        layout = f"{order}HHI4s"
        count_format, offset_format, start = f"{order}H", f"{order}I", 4
    else:
        return
    waiting = [struct.unpack_from(offset_format, data, start)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop(0)
        if place in seen or not 0 < place < len(data):
            continue
        seen.add(place)
        (count,) = struct.unpack_from(count_format, data, place)
        place += struct.calcsize(count_format)
        tags: dict[int, list[int]] = {}
        for _ in range(min(count, _MOST_ENTRIES)):
            tag, kind, values, field = struct.unpack_from(layout, data, place)
            place += struct.calcsize(layout)
            tags[tag] = _values(data, order, kind, values, field)
        yield tags
        if count <= _MOST_ENTRIES and place + struct.calcsize(offset_format) <= len(data):
            waiting.append(struct.unpack_from(offset_format, data, place)[0])
        waiting += tags.get(_SUB_IFDS, ())


def _values(data: bytes, order: str, kind: int, count: int, field: bytes) -> list[int]:
    """The first whole numbers of an entry; none of an entry of another type."""
    size = _SIZES.get(kind)
    if size is None or not count:
        return []
    place = 0
    source = field
    if size * count > len(field):
        source = data
        (place,) = struct.unpack(f"{order}{_FORMATS[len(field)]}", field)
    shown = min(count, _MOST_VALUES)
    if place + size * shown > len(source):
        return []
    return list(struct.unpack_from(f"{order}{shown}{_FORMATS[size]}", source, place))
