import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from vggbatch.config import DecodeOptions
from vggbatch.errors import ImageError
from vggbatch.preprocess.decode import decode_image

STRICT = DecodeOptions()


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture, so that lossy formats stay close to it."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))


def encode(image: Image.Image, format: str, **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def pixels(data: bytes, options: DecodeOptions = STRICT) -> np.ndarray:
    image = decode_image(data, options)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def kind(data: bytes, options: DecodeOptions = STRICT) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, options)
    assert "0x" not in caught.value.message
    return caught.value.kind


TRUTH = np.asarray(picture()).astype(int)


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 8),
        ("JPEG", {"quality": 95, "progressive": True}, 8),
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG2000", {}, 0),
        ("AVIF", {"quality": 95}, 12),
    ],
)
def test_formats(format, options, tolerance):
    assert abs(pixels(encode(picture(), format, **options)) - TRUTH).max() <= tolerance


def test_jpeg_equals_a_plain_pillow_loop():
    data = encode(picture(), "JPEG")
    plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (pixels(data) == plain).all()


@pytest.mark.parametrize(("side", "size"), [(301, (800, 600)), (300, (400, 300)), (75, (100, 75))])
def test_draft_never_goes_below_the_side(side, size):
    large = picture(800, 600)
    out = decode_image(encode(large, "JPEG", quality=95), DecodeOptions(draft=True), side)
    assert out.size == size
    near = np.asarray(large.resize(out.size, Image.Resampling.BOX)).astype(int)
    assert abs(np.asarray(out).astype(int) - near).max() <= 8


def test_draft_is_off_by_default_and_for_jpeg_alone():
    jpeg, png = (encode(picture(800, 600), format) for format in ("JPEG", "PNG"))
    assert decode_image(jpeg, STRICT, 75).size == (800, 600)
    assert decode_image(jpeg, DecodeOptions(draft=True)).size == (800, 600)
    assert decode_image(png, DecodeOptions(draft=True), 75).size == (800, 600)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_grey(format):
    gray = picture().convert("L")
    out = pixels(encode(gray, format, **({"quality": 100} if format == "JPEG" else {})))
    assert abs(out - np.asarray(gray).astype(int)[..., None]).max() <= 2


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bit_grey_keeps_its_upper_bits(format):
    gray = (np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16)
    assert (pixels(encode(Image.fromarray(gray), format)) == (gray >> 8)[..., None]).all()


def test_16_bit_color():
    rows = b"".join(
        b"\0" + struct.pack(">6H", *range(r * 3000, r * 3000 + 6000, 1000)) for r in (0, 1)
    )
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    expected = np.array([[r * 3000 + i * 1000 for i in range(6)] for r in (0, 1)]) >> 8
    assert (pixels(data).reshape(2, 6) == expected).all()


def test_one_bit():
    image = Image.fromarray(TRUTH[..., 0].astype(np.uint8) > 99)
    assert (pixels(encode(image, "PNG")) == np.asarray(image)[..., None] * 255).all()


def test_palette_with_and_without_transparency():
    image = picture().quantize(64)
    expected = np.asarray(image.convert("RGB"))
    assert (pixels(encode(image, "PNG")) == expected).all()
    assert (pixels(encode(image, "PNG", transparency=bytes(range(64)))) == expected).all()
    assert (pixels(encode(image, "GIF", transparency=3)) == expected).all()


def test_transparency_shows_the_colors_beneath():
    image = picture()
    image.putalpha(Image.fromarray(np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)))
    assert (pixels(encode(image, "PNG")) == TRUTH).all()
    gray = picture().convert("LA")
    assert (pixels(encode(gray, "PNG")) == np.asarray(gray)[..., :1]).all()


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "JPEG2000", "TIFF"])
def test_transparency_in_other_formats(format):
    image = picture()
    image.putalpha(100)
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}.get(format, {})
    tolerance = 12 if format == "AVIF" else 0
    assert abs(pixels(encode(image, format, **options)) - TRUTH).max() <= tolerance


def test_cmyk_follows_adobe():
    cmyk = np.zeros((48, 64, 4), np.uint8)
    cmyk[..., :3] = 255 - TRUTH
    data = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in data
    assert abs(pixels(data) - TRUTH).max() <= 3


def test_ycck():
    # Pillow writes four planes, inverted. As YCCK they are Y, Cb and Cr with R = 1 - C (jdcolor.c,
    # ycck_cmyk_convert) of CMY that Adobe inverts once more, and inverted black; the last byte of
    # the Adobe marker then says 2.
    planes = np.full((48, 64, 4), 255, np.uint8)
    planes[..., :3] = np.asarray(ImageOps.invert(picture()).convert("YCbCr"))
    data = bytearray(
        encode(Image.fromarray(255 - planes, "CMYK"), "JPEG", quality=100, subsampling=0)
    )
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    assert abs(pixels(bytes(data)) - TRUTH).max() <= 4


def test_names_do_not_count_and_contents_do():
    # decode_image never sees a name: a PNG that is called x.JPEG decodes as the PNG that it is.
    assert (pixels(encode(picture(), "PNG")) == TRUTH).all()


def test_exif_orientation_is_ignored_unless_asked_for():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), "PNG", exif=exif)
    assert (pixels(data) == TRUTH).all()
    turned = pixels(data, DecodeOptions(exif_orientation=True))
    assert (turned == np.rot90(TRUTH, -1)).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(format):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (pixels(data) == [255, 0, 0]).all()


def test_the_first_picture_of_a_phones_several():
    # MPO: JPEGs one after the other, which Pillow opens as a format of its own
    data = encode(
        picture(), "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert abs(pixels(data) - TRUTH).max() <= 8
    # what follows the first picture is not decoded, and so costs nothing
    scan = data[data.index(b"\xff\xda") :]
    assert abs(pixels(data + scan * 100) - TRUTH).max() <= 8


def test_animated_avif():
    data = encode(
        picture(), "AVIF", quality=95, save_all=True, append_images=[picture().rotate(90)]
    )
    assert abs(pixels(data) - TRUTH).max() <= 12


@pytest.mark.parametrize("size", [(30_000, 300), (300, 30_000)])
def test_long_jpegs(size):
    assert pixels(encode(Image.new("RGB", size, "red"), "JPEG")).shape[:2] == size[::-1]


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1)])
def test_thin_sides(size):
    assert pixels(encode(Image.new("RGB", size, "red"), "PNG")).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_truncated(format):
    data = encode(picture(256, 256), format)
    assert kind(data[: len(data) // 2]) == "truncated"


@pytest.mark.parametrize("length", [3, 10, 100, 300])
def test_truncated_header(length):
    assert kind(encode(picture(), "JPEG")[:length]) == "truncated"


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "PNG", "TIFF"])
def test_truncated_header_of_other_formats(format):
    assert kind(encode(picture(), format)[:20]) == "truncated"


def test_truncated_is_accepted_on_request():
    data = encode(picture(256, 256), "JPEG", quality=95)
    out = pixels(data[: len(data) // 2], DecodeOptions(truncated=True))
    whole = pixels(data)
    assert (out[:64] == whole[:64]).all()
    assert (out[-8:] == 128).all()
    assert kind(data[: len(data) // 2]) == "truncated"


def test_other_errors():
    assert kind(b"") == "empty"
    assert kind(b"hello, world") == "not_image"
    assert kind(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "not_image"
    assert kind(encode(picture(), "EPS")) == "not_image"
    assert kind(encode(Image.new("F", (4, 4)), "TIFF")) == "not_image"
    damaged = bytearray(encode(picture(), "PNG"))
    damaged[-30] ^= 255
    assert kind(bytes(damaged)) == "corrupt"


def test_limits():
    data = encode(picture(), "PNG")
    assert kind(data, DecodeOptions(max_bytes=len(data) - 1)) == "too_large"
    assert kind(data, DecodeOptions(max_pixels=64 * 48 - 1)) == "too_large"
    assert (pixels(data, DecodeOptions(max_pixels=64 * 48)) == TRUTH).all()


def test_bombs():
    png = bytearray(encode(picture(), "PNG"))
    png[16:24] = struct.pack(">II", 100_000, 100_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    assert kind(bytes(png)) == "too_large"
    jpeg = encode(picture(), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    many = jpeg[:-2] + scan * 100 + b"\xff\xd9"
    assert kind(many, DecodeOptions(max_pixels=64 * 48)) == "too_large"
    assert (pixels(jpeg, DecodeOptions(max_pixels=64 * 48)) == pixels(jpeg)).all()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_pixels_or_an_image_error(data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]))
    raw = bytearray(encode(picture(16, 16), format))
    for _ in range(data.draw(st.integers(0, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    options = DecodeOptions(
        truncated=data.draw(st.booleans()), exif_orientation=True, max_pixels=10**6
    )
    with contextlib.suppress(ImageError):
        assert decode_image(bytes(raw), options).mode == "RGB"
