"""Raw files of cameras open as the TIFFs of their thumbnails: an error, whatever names them."""

import io
import struct

import pytest
from PIL import Image

from vggbatch.config import DecodeOptions
from vggbatch.errors import ImageError
from vggbatch.preprocess.camera_raw import camera_raw
from vggbatch.preprocess.decode import decode_image

SUBFILE, PHOTOMETRIC, SUB_IFDS, CFA_PATTERN, DNG_VERSION = 254, 262, 330, 33422, 50706
RGB, SENSOR, LINEAR = 2, 32803, 34892


def tiff(*directories, order="<", big=False, sub=False):
    """A TIFF whose first directory is an 8 x 8 picture; the others follow, or are its SubIFDs."""
    word, header = ("Q", 16) if big else ("I", 8)
    entry, pixels = struct.Struct(f"{order}HH{word}{word}"), bytes(range(192))
    size = [len(pixels) + 20]
    basis = {256: 8, 257: 8, 258: 8, 259: 1, 262: RGB, 273: header, 277: 3, 278: 8, 279: 192}
    all_tags = [{**basis, **directories[0]}, *directories[1:]]
    count, ends = struct.Struct(f"{order}{'Q' if big else 'H'}"), struct.Struct(order + word)
    place, places = header + size[0], []
    for number, tags in enumerate(all_tags):
        places.append(place)
        has_sub = sub and number == 0
        place += count.size + entry.size * (len(tags) + has_sub) + ends.size
    order_mark = b"II" if order == "<" else b"MM"
    version = struct.pack(f"{order}HHH", 43, 8, 0) if big else struct.pack(f"{order}H", 42)
    data = (order_mark + version + ends.pack(places[0])).ljust(header, b"\0")
    data += pixels.ljust(size[0], b"\0")
    for number, tags in enumerate(all_tags):
        found = [(tag, value) for tag, value in tags.items()]
        if sub and number == 0:
            found.append((SUB_IFDS, places[1]))
        data += count.pack(len(found))
        # every value as one word: LONG, or LONG8
        data += b"".join(entry.pack(tag, 16 if big else 4, 1, v) for tag, v in sorted(found))
        more = number + 1 < len(all_tags) and not sub
        data += ends.pack(places[number + 1] if more else 0)
    return data


RAWS = {
    "NEF": tiff({SUBFILE: 1}, {PHOTOMETRIC: SENSOR}, order=">", sub=True),
    "ARW": tiff({SUBFILE: 1}, {PHOTOMETRIC: SENSOR}, sub=True),
    "DNG": tiff({SUBFILE: 1, DNG_VERSION: 0x0104}, {PHOTOMETRIC: LINEAR}, sub=True),
    "DNG of one directory": tiff({DNG_VERSION: 0x0104}),
    "DNG of 64 bits": tiff({SUBFILE: 1}, {PHOTOMETRIC: LINEAR}, sub=True, big=True),
    "PEF": tiff({PHOTOMETRIC: SENSOR}, order=">"),
    "3FR": tiff({}, {PHOTOMETRIC: SENSOR}),
    "TIFF/EP": tiff({CFA_PATTERN: 0x01000201}),
    "thumbnail first": tiff({SUBFILE: 1}, {PHOTOMETRIC: RGB}),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(64),
    "RW2": b"IIU\0" + bytes(64),
    "ORF": b"MMOR" + bytes(64),
    "IIQ": b"II*\0\x10\0\0\0IIII" + bytes(64),
}


@pytest.mark.parametrize("data", RAWS.values(), ids=RAWS)
def test_a_raw_file_is_an_error_that_says_what_to_do(data):
    with pytest.raises(ImageError, match=r"raw files?.*convert it to JPEG") as caught:
        decode_image(data, DecodeOptions())
    assert caught.value.kind == "not_image"


TIFFS = {
    "plain": tiff({}),
    "big-endian": tiff({}, order=">"),
    "64 bits": tiff({}, big=True),
    "pages": tiff({}, {PHOTOMETRIC: RGB}),
    "pyramid": tiff({}, {SUBFILE: 1, PHOTOMETRIC: RGB}, sub=True),
    "reduced, and alone": tiff({SUBFILE: 1}),
}


@pytest.mark.parametrize("data", TIFFS.values(), ids=TIFFS)
def test_other_tiffs_are_decoded(data):
    picture = decode_image(data, DecodeOptions())
    assert picture.size == (8, 8)
    assert picture.getpixel((1, 0)) == (3, 4, 5)


def test_what_a_photo_editor_saves_of_a_raw_file_is_a_picture():
    sink = io.BytesIO()
    exif = Image.Exif()
    exif[271] = "NIKON CORPORATION"
    exif.get_ifd(0x8769)[41730] = b"\2\0\2\0\0\1\1\2"  # CFAPattern of Exif
    Image.new("RGB", (8, 8), (9, 8, 7)).save(sink, "TIFF", exif=exif)
    assert camera_raw(sink.getvalue()) is None


@pytest.mark.parametrize("size", range(8, 400, 7))
def test_a_cut_or_hostile_directory_ends(size):
    camera_raw(RAWS["NEF"][:size])
    looped = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<HI", 0, 8)
    assert camera_raw(looped.ljust(size, b"\xff")) is None
