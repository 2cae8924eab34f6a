"""What bytes are, by how they begin: images in forms that are decoded, and what they are else.

Names only help: a download that was refused is a web page named .jpg, a file of the Hugging Face
cache is an image without a suffix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

HEAD = 512
"""Bytes that `recognize` looks at: with a tar, its whole first header."""


class Form(Enum):
    """What can be done with content."""

    IMAGE = "an image that is decoded"
    UNDECODED = "a photograph in a form that is not decoded"
    PICTURE = "a picture in a form that photographs are not kept in"
    ARCHIVE = "an archive"
    TAR = "an uncompressed tar"
    PARQUET = "a Parquet file"
    RAW = "a camera's raw file"
    VIDEO = "a video or a recording"
    OTHER = "anything else"


@dataclass(frozen=True)
class Content:
    """What some bytes are, and what their owner can do about it."""

    form: Form
    name: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.advice}" if self.advice else self.name


_DECOMPRESS = "decompress it first"
_UNPACK = "unpack it, or make it a tar"
CONVERT = "convert it to JPEG or PNG"
"""What to do about pictures in a form that is not decoded."""
_DOWNLOAD = "the download failed: fetch the image again"
_FRAMES = "extract its frames first"

_MAGIC: tuple[tuple[int, bytes, Content], ...] = (
    (0, b"\xff\xd8\xff", Content(Form.IMAGE, "JPEG")),
    (0, b"\x89PNG\r\n\x1a\n", Content(Form.IMAGE, "PNG")),
    (0, b"GIF87a", Content(Form.IMAGE, "GIF")),
    (0, b"GIF89a", Content(Form.IMAGE, "GIF")),
    (0, b"\0\0\0\x0cjP  \r\n", Content(Form.IMAGE, "JPEG 2000")),
    (0, b"\xff\x4f\xff\x51", Content(Form.IMAGE, "JPEG 2000")),
    (0, b"\xff\x0a", Content(Form.UNDECODED, "JPEG XL", CONVERT)),
    (0, b"\0\0\0\x0cJXL \r\n", Content(Form.UNDECODED, "JPEG XL", CONVERT)),
    (0, b"II\xbc", Content(Form.UNDECODED, "JPEG XR", CONVERT)),
    (0, b"\0\0\1\0\1\0", Content(Form.PICTURE, "a Windows icon", CONVERT)),
    (0, b"8BPS", Content(Form.PICTURE, "a Photoshop document", CONVERT)),
    (0, b"gimp xcf", Content(Form.PICTURE, "a GIMP document", CONVERT)),
    (0, b"v/1\1", Content(Form.PICTURE, "OpenEXR", CONVERT)),
    (0, b"#?RADIANCE", Content(Form.PICTURE, "a Radiance picture", CONVERT)),
    (0, b"qoif", Content(Form.PICTURE, "QOI", CONVERT)),
    (0, b"BPG\xfb", Content(Form.UNDECODED, "BPG", CONVERT)),
    (0, b"DDS ", Content(Form.PICTURE, "a DirectDraw surface", CONVERT)),
    (128, b"DICM", Content(Form.PICTURE, "DICOM", CONVERT)),
    (0, b"FUJIFILMCCD-RAW", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"IIRO", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"IIRS", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"IIU\0", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"MMOR", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (8, b"CR\2", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (8, b"IIII", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (8, b"MMMMRaw", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (6, b"HEAPCCDR", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"\0MRM", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"FOVb", Content(Form.RAW, "a camera's raw file", CONVERT)),
    (0, b"II*\0", Content(Form.IMAGE, "TIFF")),
    (0, b"MM\0*", Content(Form.IMAGE, "TIFF")),
    (0, b"II+\0", Content(Form.IMAGE, "TIFF")),
    (0, b"MM\0+", Content(Form.IMAGE, "TIFF")),
    (0, b"\x1f\x8b", Content(Form.ARCHIVE, "gzip-compressed data", _DECOMPRESS)),
    (0, b"BZh", Content(Form.ARCHIVE, "bzip2-compressed data", _DECOMPRESS)),
    (0, b"\xfd7zXZ\0", Content(Form.ARCHIVE, "xz-compressed data", _DECOMPRESS)),
    (0, b"\x28\xb5\x2f\xfd", Content(Form.ARCHIVE, "zstd-compressed data", _DECOMPRESS)),
    (0, b"\x04\x22\x4d\x18", Content(Form.ARCHIVE, "lz4-compressed data", _DECOMPRESS)),
    (0, b"PK\3\4", Content(Form.ARCHIVE, "a zip archive", _UNPACK)),
    (0, b"PK\5\6", Content(Form.ARCHIVE, "an empty zip archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Content(Form.ARCHIVE, "a 7z archive", _UNPACK)),
    (0, b"Rar!", Content(Form.ARCHIVE, "a rar archive", _UNPACK)),
    (257, b"ustar", Content(Form.TAR, "a tar", "give it a name that ends in .tar")),
    (0, b"PAR1", Content(Form.PARQUET, "Parquet", "give it a name that ends in .parquet")),
    (0, b"%PDF", Content(Form.PICTURE, "a PDF document", CONVERT)),
    (0, b"%!PS", Content(Form.PICTURE, "PostScript", CONVERT)),
    (0, b"\x89HDF\r\n", Content(Form.OTHER, "HDF5", "export its images to files")),
    (0, b"\x93NUMPY", Content(Form.OTHER, "a NumPy array", "save it as PNG")),
    (0, b"\x80\2", Content(Form.OTHER, "a pickle", "export its images to files")),
    (0, b"\x80\3", Content(Form.OTHER, "a pickle", "export its images to files")),
    (0, b"\x80\4", Content(Form.OTHER, "a pickle", "export its images to files")),
    (0, b"\x80\5", Content(Form.OTHER, "a pickle", "export its images to files")),
    (0, b"SQLite format 3\0", Content(Form.OTHER, "an SQLite database")),
    (0, b"\xd0\xcf\x11\xe0", Content(Form.OTHER, "an Office document or thumbnail database")),
    (0, b"\x7fELF", Content(Form.OTHER, "a program")),
    (0, b"MZ", Content(Form.OTHER, "a program")),
    (0, b"\0\5\x16\7", Content(Form.OTHER, "a macOS resource fork (AppleDouble)", "delete it")),
    (0, b"Bud1", Content(Form.OTHER, "a macOS folder's settings", "delete it")),
    (4, b"Bud1", Content(Form.OTHER, "a macOS folder's settings", "delete it")),
    (0, b"\x1a\x45\xdf\xa3", Content(Form.VIDEO, "a video", _FRAMES)),
    (0, b"OggS", Content(Form.VIDEO, "a recording")),
    (0, b"ID3", Content(Form.VIDEO, "a recording")),
    (0, b"fLaC", Content(Form.VIDEO, "a recording")),
    (0, b"FLV\1", Content(Form.VIDEO, "a video", _FRAMES)),
    (0, b"\0\0\1\xba", Content(Form.VIDEO, "a video", _FRAMES)),
    (0, b"\0\0\1\xb3", Content(Form.VIDEO, "a video", _FRAMES)),
    (0, b"version https://git-lfs", Content(Form.OTHER, "a Git LFS pointer", "run `git lfs pull`")),
    (0, b"/annex/objects/", Content(Form.OTHER, "a git-annex pointer", "run `git annex get`")),
    (0, b"data:image/", Content(Form.OTHER, "a data: URL", "decode its base64")),
    (0, b"/9j/", Content(Form.OTHER, "a JPEG in base64", "decode it")),
    (0, b"iVBORw0KGgo", Content(Form.OTHER, "a PNG in base64", "decode it")),
)
"""Where which bytes stand; the first that fits counts."""

_BRANDS: tuple[tuple[bytes, Content], ...] = (
    (b"avif", Content(Form.IMAGE, "AVIF")),
    (b"avis", Content(Form.IMAGE, "AVIF")),
    (b"crx ", Content(Form.RAW, "a camera's raw file", CONVERT)),
    *(
        (brand, Content(Form.UNDECODED, "HEIC", CONVERT))
        for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    ),
)
"""Of files of ISO boxes (`ftyp`), by a brand among those they claim; others are videos."""

_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_NETPBM = re.compile(rb"P[1-6][ \t\r\n](\s*\d|\s*#)")
_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|script|title|meta)\b", re.IGNORECASE)
_PRINTABLE = bytes(range(32, 127)) + b"\t\n\r\f\b"


def recognize(head: bytes) -> Content | None:
    """What a file is, by its first `HEAD` bytes; None if they say nothing.

    >>> str(recognize(b"PK" + bytes([3, 4]) + b"..."))
    'a zip archive: unpack it, or make it a tar'
    """
    for place, magic, content in _MAGIC:
        if head.startswith(magic, place):
            return content
    if head[4:8] == b"ftyp":
        return _of_boxes(head)
    if head[:4] == b"RIFF":
        return _of_riff(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return Content(Form.IMAGE, "BMP")
    if _NETPBM.match(head):
        return Content(Form.IMAGE, "PPM")
    if head and not head.strip(b"\0"):
        return Content(Form.OTHER, "nothing but zero bytes", "copy or fetch it again")
    return _of_text(head)


def _of_boxes(head: bytes) -> Content:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))]
    known = (content for brand, content in _BRANDS if brand in brands)
    return next(known, Content(Form.VIDEO, "a video", _FRAMES))


def _of_riff(head: bytes) -> Content | None:
    if head[8:12] == b"WEBP":
        return Content(Form.IMAGE, "WebP")
    if head[8:12] == b"AVI ":
        return Content(Form.VIDEO, "a video", _FRAMES)
    return Content(Form.VIDEO, "a recording") if head[8:12] == b"WAVE" else None


def _of_text(head: bytes) -> Content | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return None
    if _HTML.match(text):
        return Content(Form.OTHER, "a web page (HTML)", _DOWNLOAD)
    if b"<svg" in text:
        return Content(Form.PICTURE, "SVG, a drawing", CONVERT)
    if text.startswith(b"<?xml") or text.startswith(b"<Error"):
        if b"<Error>" in text:
            return Content(Form.OTHER, "an error message of a store (XML)", _DOWNLOAD)
        return Content(Form.OTHER, "XML")
    if not text.translate(None, _PRINTABLE):
        if text[:1] in b"{[":
            return Content(Form.OTHER, "JSON text, not an image", _DOWNLOAD)
        return Content(Form.OTHER, "plain text, not an image")
    return None
