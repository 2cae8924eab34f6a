import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.images import cut, jpeg
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.image_buffer import ImageBufferBuilder, ImageResizer, resized_bytes
from vggbatch.preprocess.transform import center_crop

SMALL = Preprocess(resize=36, crop=32)
SQUASH = Preprocess(resize=36, crop=32, resize_mode="squash")


def test_a_centre_crop_travels_cut():
    made = ImageResizer(DecodeOptions(), (SMALL, SQUASH), Protocol(scales=(36, 50)))(jpeg(cut(1)))
    image = decode_image(jpeg(cut(1)), DecodeOptions())
    for resize_spec, pictures in zip((SMALL, SQUASH), made, strict=True):
        for scale, picture in zip((36, 50), pictures, strict=True):
            profile = resize_spec.model_copy(update={"resize": scale})
            np.testing.assert_array_equal(picture, center_crop(image, profile))


@pytest.mark.parametrize("kind", ["ten", "grid", "dense", "grid+dense"])
def test_other_views_take_the_whole_picture(kind):
    maker = ImageResizer(DecodeOptions(), (SMALL, SQUASH), Protocol(views=kind, scales=(36, 40)))
    shorter, squash = maker(jpeg(cut(1, width=72, height=56)))
    assert [picture.shape for picture in shorter] == [(36, 46, 3), (40, 51, 3)]
    assert [picture.shape for picture in squash] == [(36, 36, 3), (40, 40, 3)]


def test_an_extreme_strip_is_an_error_and_not_a_gigabyte():
    strip = jpeg(Image.new("RGB", (30_000, 1)))
    with pytest.raises(ImageError, match="too_large"):
        ImageResizer(DecodeOptions(), (Preprocess(),), Protocol(views="dense"))(strip)
    [[crop]] = ImageResizer(DecodeOptions(), (Preprocess(),), Protocol())(strip)
    assert crop.shape == (224, 224, 3)


def test_a_scaled_jpeg_is_large_enough_for_every_scale():
    big = jpeg(cut(0).resize((1440, 1120)))
    draft = DecodeOptions(draft=True)
    for scales in ((40,), (40, 500)):
        maker = ImageResizer(draft, (SMALL,), Protocol(views="dense", scales=scales))
        plain = ImageResizer(DecodeOptions(), (SMALL,), maker.protocol)
        for found, expected in zip(maker(big)[0], plain(big)[0], strict=True):
            assert found.shape == expected.shape
            assert np.abs(found.astype(int) - expected).mean() < 8


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6),
    scales=st.integers(1, 3),
    capacity=st.integers(0, 300),
)
def test_what_was_packed_comes_out(shapes, scales, capacity):
    rng = np.random.default_rng(0)
    images = [
        [rng.integers(0, 256, (h + i, w, 3), np.uint8) for i in range(scales)] for h, w in shapes
    ]
    packer = ImageBufferBuilder(scales, capacity)
    for image in images:
        packer.add(image)
    packed = packer.packed()
    assert len(packed) == len(images)
    for scale in range(scales):
        for image, found in zip(images, packed.column(scale), strict=True):
            np.testing.assert_array_equal(found, image[scale])


def test_bytes_are_known_beforehand():
    assert resized_bytes(Preprocess(), Protocol()) == 224 * 224 * 3
    whole = resized_bytes(Preprocess(), Protocol(views="dense", scales=(256, 512)))
    assert whole == pytest.approx((256 * 341 + 512 * 683) * 3, rel=0.01)
