import io

import pytest
from PIL import Image

from vggbatch.config import DecodeOptions
from vggbatch.errors import ImageError
from vggbatch.preprocess.content import HEAD, Form, recognize
from vggbatch.preprocess.decode import FORMATS, decode_image

FTYP = b"\0\0\0\x18ftyp"


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_decoded_is_recognized(name):
    if name == "DIB":
        pytest.skip("a bitmap without the header by which to know it")
    sink = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(sink, name)
    assert recognize(sink.getvalue()[:HEAD]).form is Form.IMAGE


OTHERS = {
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "gzip-compressed data: decompress it"),
    "zip": (b"PK\3\4" + bytes(20), "a zip archive: unpack it"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>404", "a web page (HTML): the download failed"),
    "cloud flare": (b"<html>\r\n<head><title>403 Forbidden", "a web page (HTML)"),
    "store": (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied", "an error message of a store"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer: run `git lfs"),
    "annex": (b"/annex/objects/MD5E-s1--1.jpg\n", "a git-annex pointer"),
    "heic": (FTYP + b"heic\0\0\0\0mif1heic", "HEIC: convert it"),
    "heif of another brand": (FTYP + b"mif1\0\0\0\0mif1miaf", "HEIC: convert it"),
    "jpeg xl": (b"\xff\x0a" + bytes(9), "JPEG XL: convert it"),
    "jpeg xl in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL: convert it"),
    "canon": (FTYP + b"crx \0\0\0\1crx isom", "a camera's raw file"),
    "canon of old": (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
    "video": (FTYP + b"isom\0\0\2\0isommp42", "a video: extract its frames"),
    "pdf": (b"%PDF-1.7\n", "a PDF document"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="', "SVG, a drawing"),
    "thumbs": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or thumbnail database"),
    "json": (b'{"error": "not found"}', "JSON text"),
    "base64": (b"/9j/4AAQSkZJRgABAQ", "a JPEG in base64"),
    "zeros": (bytes(300), "nothing but zero bytes"),
    "text": (b"Not Found", "plain text"),
    "tar": (bytes(257) + b"ustar\0", "a tar"),
}


@pytest.mark.parametrize(("data", "said"), OTHERS.values(), ids=OTHERS)
def test_an_error_says_what_a_file_is_and_what_to_do(data, said):
    with pytest.raises(ImageError) as caught:
        decode_image(data, DecodeOptions())
    assert caught.value.kind == "not_image"
    assert caught.value.message.startswith(said)


def test_an_avif_of_brand_mif1_is_no_heic():
    assert recognize(FTYP + b"mif1\0\0\0\0mif1avif").form is Form.IMAGE


def test_noise_is_nothing_known():
    assert recognize(bytes(range(128, 200))) is None
    assert recognize(b"") is None
