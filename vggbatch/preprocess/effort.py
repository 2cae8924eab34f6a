"""What decoding an image may cost, judged by its header: ordinary, or for a process of its own.

Decoders run in C, where nothing can end them, and some parts of Pillow are quadratic in a file's
metadata: a kilobyte of run-length coded BMP takes 20 s, a JPEG with a thousand Exif segments as
long. So only what is provably cheap is decoded in the thread that asks: JPEG, PNG, GIF, WebP, BMP
and PPM of moderate size and plain structure, nearly every image there is. All others are decoded
in a process that can be ended (see isolated.py), with the same result.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

ORDINARY_PIXELS = 2**24
"""Pixels that a thread decodes: 67 MB, and twice that while CMYK becomes RGB."""
_SCANS = 12
"""Of a progressive JPEG; libjpeg writes 10 (jpeg_simple_progression)."""
_PARTS = 64
"""Segments before a JPEG's scan, or chunks of metadata in a PNG or WebP. A CMYK profile takes 9."""
_EXIF_ENTRIES = 512
"""Each entry may stand for the whole of its segment once more, in memory."""
_DATA_CHUNKS = 16384
"""Chunks with a PNG's pixels; of 8 kB, as libpng writes them, those of 134 MB."""
_GIF_BYTES = 2**18
"""Pillow joins comments piece by piece, which is quadratic."""
_PNG_TEXT = (b"tEXt", b"iTXt", b"eXIf")
_TEXT = 2**12
"""Bytes of a PNG's text or Exif, where each entry of a directory may stand for all of it."""
_BINARY_PPM = re.compile(
    rb"P(?:4\s{1,8}(\d{1,8})\s{1,8}(\d{1,8})|[56]\s{1,8}(\d{1,8})\s{1,8}(\d{1,8})\s{1,8}255)\s"
)
"""Of bits, or of bytes up to 255: other maxima are decoded in Python, sample by sample."""

_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def is_ordinary(data: bytes) -> bool:
    """Whether an image may be decoded in a thread: it ends soon and takes little memory."""
    for magic, judge in _JUDGES:
        if data.startswith(magic):
            try:
                return judge(data)
            except (struct.error, IndexError):
                # cut short; so short a file costs nothing
                return len(data) < 2**16
    # whatever begins like none of the formats is refused by each of them at its first bytes
    return not (data.startswith(_OTHERS) or data[4:8] == b"ftyp")


def _jpeg(data: bytes) -> bool:
    """Walk the segments up to the first scan."""
    place, exif, pixels, components, frame = 2, 0, 0, 0, 0
    for _ in range(_PARTS):
        if data[place] != 0xFF:
            return False
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        place += 2
        if marker in _STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, place)
        if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            height, width, components = struct.unpack_from(">HHB", data, place + 3)
            pixels, frame = width * height, marker
        elif marker == 0xE1 and data[place + 2 : place + 6] == b"Exif":
            exif += 1
            if exif > 1 or not _few_entries(data[place + 2 : place + length]):
                return False
        elif marker == 0xE2 and data[place + 2 : place + 6] == b"MPF\0":
            if not _few_entries(data[place + 6 : place + length]):
                return False
        elif marker == 0xDA:
            if not frame or not 0 < pixels <= ORDINARY_PIXELS:
                return False
            if frame != _PROGRESSIVE and data[place + 2] == components:
                return True  # all in this one scan
            # In coded data 0xFF is followed by 0, so these two bytes are a scan's start.
            return data.count(b"\xff\xda", place) < _SCANS
        place += length
    return False


def _few_entries(exif: bytes) -> bool:
    """Whether the first directory of Exif is short, as far as it can be read."""
    if len(exif) > 2**16:
        return False
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return True
    (place,) = struct.unpack_from(f"{order}I", exif, 4)
    if place + 2 > len(exif):
        return True
    (count,) = struct.unpack_from(f"{order}H", exif, place)
    return bool(count <= _EXIF_ENTRIES)


def _png(data: bytes) -> bool:
    """Walk all chunks; there is one for each 8 kB of pixels, or fewer."""
    width, height = struct.unpack_from(">II", data, 16)
    if width * height > ORDINARY_PIXELS:
        return False
    place, others, pixels = 8, 0, 0
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            pixels += 1
        elif kind == b"IEND":
            return True
        else:
            others += 1
            if kind == b"zTXt" or (kind in _PNG_TEXT and length > _TEXT):
                return False
        if others > _PARTS or pixels > _DATA_CHUNKS:
            return False
        place += 12 + length
    return True


def _gif(data: bytes) -> bool:
    width, height = struct.unpack_from("<HH", data, 6)
    return len(data) <= _GIF_BYTES and width * height <= ORDINARY_PIXELS


def _webp(data: bytes) -> bool:
    """One picture, by the size in its first chunk, and few other chunks."""
    kind, begin = data[12:16], 20
    if kind == b"VP8X":
        flags = data[begin]
        width = int.from_bytes(data[begin + 4 : begin + 7], "little") + 1
        height = int.from_bytes(data[begin + 7 : begin + 10], "little") + 1
        if flags & 2 or not _few_chunks(data):
            return False
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, begin + 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, begin + 6))
    return width * height <= ORDINARY_PIXELS


def _few_chunks(data: bytes) -> bool:
    place = 12
    for _ in range(_PARTS):
        if place + 8 > len(data):
            return True
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF" and not _few_entries(data[place + 8 : place + 8 + length]):
            return False
        place += 8 + length + length % 2
    return False


def _bmp(data: bytes) -> bool:
    """Uncompressed, with a header of the usual form."""
    (header,) = struct.unpack_from("<I", data, 14)
    if header < 40:
        return False
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    return abs(width * height) <= ORDINARY_PIXELS and compression in (0, 3)


def _ppm(data: bytes) -> bool:
    """Binary, with samples as they are, without comments in the header."""
    found = _BINARY_PPM.match(data)
    if found is None:
        return False
    width, height = filter(None, found.groups())
    return int(width) * int(height) <= ORDINARY_PIXELS


_JUDGES: tuple[tuple[bytes, Callable[[bytes], bool]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n", _png),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
    (b"BM", _bmp),
    (b"P4", _ppm),
    (b"P5", _ppm),
    (b"P6", _ppm),
)

_OTHERS = (
    *(b"II", b"MM", b"P", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    *(struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124)),
)
"""How the other formats begin: TIFF, plain PPM, JPEG 2000, and BMP without its file header."""
