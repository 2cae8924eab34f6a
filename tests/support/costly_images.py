"""Images that are small as files and take long or much memory to decode."""

import io
import struct
import zlib

from PIL import Image

from tests.support.images import cut, jpeg


def encode(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def bmp_rle(width: int) -> bytes:
    data = b"\1\1\0\0\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, 1, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1084, 0, 0, 1078) + head + bytes(1024) + data


def png_chunks(extra: bytes, before: bytes = b"IDAT") -> bytes:
    plain = encode(cut(1), "PNG")
    place = plain.index(before) - 4
    return plain[:place] + extra + plain[place:]


def progressive(scans: int) -> bytes:
    data = encode(cut(1), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def exif_of(entries: int) -> bytes:
    entry = struct.pack("<HHII", 0x9286, 7, 60_000, 0)
    return b"Exif\0\0II*\0\10\0\0\0" + struct.pack("<H", entries) + entry * entries


PHOTO = jpeg(cut(1))


GIF = encode(cut(1), "GIF")


COMMENT = b"\x21\xfe" + (b"\xff" + b"c" * 255) * 4000 + b"\0"


HOSTILE = {
    "a run-length coded BMP": bmp_rle(178_000_000),
    "a plain PPM of comments": b"P3\n8 8\n255\n" + b"#\n" * 2**20 + b"1 2 3 " * 64,
    "a binary PPM of comments": b"P6\n" + b"#\n" * 2**20 + b"8 8\n255\n" + bytes(192),
    "a PPM of 16 bits": b"P6 1100 1100 65535 " + bytes(6 * 1100**2),
    "a PGM of odd samples": b"P5 2000 2000 3\n" + bytes(2000**2),
    "a plain bitmap": b"P1\n4200 4200\n" + b"1" * 2**18,
    "Exif in 60 segments": PHOTO[:2] + segment(0xE1, b"Exif\0\0" + bytes(65000)) * 60 + PHOTO[2:],
    "Exif of many entries": PHOTO[:2] + segment(0xE1, exif_of(5000)) + PHOTO[2:],
    "thousands of segments": PHOTO[:2] + segment(0xFE, b"c") * 200_000 + PHOTO[2:],
    "thousands of scans": progressive(2000),
    "a PNG of small chunks": png_chunks(chunk(b"teSt", b"") * 80_000),
    "a PNG of empty data": png_chunks(chunk(b"IDAT", b"") * 80_000),
    "a PNG of empty chunks at its end": png_chunks(chunk(b"teSt", b"") * 80_000, b"IEND"),
    "a PNG of texts": png_chunks(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20))) * 70),
    "a GIF of comments": GIF[:13]
    + GIF[13 : GIF.index(b"\x2c")]
    + COMMENT
    + GIF[GIF.index(b"\x2c") :],
    "a GIF of a large frame": GIF[:6] + struct.pack("<HH", 13_000, 13_000) + GIF[10:],
    "a large PNG": encode(Image.new("1", (4_200, 4_200)), "PNG"),
}
