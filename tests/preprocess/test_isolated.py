import time

import numpy as np
import pytest

from tests.support.crashing import HANG, MAGIC, environment
from tests.support.images import cut, jpeg
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.image_buffer import ImageResizer
from vggbatch.preprocess.isolated import IsolatedDecoder
from vggbatch.preprocess.transform import center_crop

PROFILE = Preprocess(resize=36, crop=32)
MAKER = ImageResizer(DecodeOptions(), (PROFILE,), Protocol())


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_gives_the_same_crops_as_in_this_process():
    with IsolatedDecoder(MAKER) as decoder:
        for number in range(5):
            data = jpeg(cut(number))
            expected = center_crop(decode_image(data, DecodeOptions()), PROFILE)
            np.testing.assert_array_equal(decoder(data), [[expected]])


def test_gives_the_same_pictures_of_every_kind():
    protocol = Protocol(views="grid+dense", scales=(40, 33))
    squash = {"resize_mode": "squash", "resizer": "opencv", "pixels": "float32"}
    resize_specs = (PROFILE, PROFILE.model_copy(update=squash))
    maker = ImageResizer(DecodeOptions(), resize_specs, protocol)
    data = jpeg(cut(3))
    with IsolatedDecoder(maker) as decoder:
        for found, expected in zip(decoder(data), maker(data), strict=True):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype


def test_ordinary_errors_come_through():
    with IsolatedDecoder(MAKER) as decoder:
        with pytest.raises(ImageError) as caught:
            decoder(b"")
        assert caught.value.kind == "empty"
        assert decoder(jpeg(cut(1)))[0][0].shape == (32, 32, 3)


@pytest.mark.usefixtures("crashing")
def test_an_image_that_kills_takes_only_itself():
    with IsolatedDecoder(MAKER) as decoder:
        for _ in range(2):
            with pytest.raises(ImageError, match="signal 11") as caught:
                decoder(MAGIC + bytes(100))
            assert caught.value.kind == "crash"
            assert decoder(jpeg(cut(1)))[0][0].shape == (32, 32, 3)


@pytest.mark.usefixtures("crashing")
def test_an_image_that_hangs_is_given_up():
    with IsolatedDecoder(MAKER, seconds=2) as decoder:
        started = time.monotonic()
        with pytest.raises(ImageError, match="did not end within 2 s"):
            decoder(HANG + bytes(100))
        assert time.monotonic() - started < 30
