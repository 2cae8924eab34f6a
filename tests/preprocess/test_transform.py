"""Every profile pixel by pixel against a few lines that share no code with it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.images import PHOTOGRAPHS, jpeg, photograph
from tests.support.plain_loop import plain_input
from vggbatch.config import Preprocess
from vggbatch.preprocess.profiles import PROFILES
from vggbatch.preprocess.transform import Normalizer, center_crop, resized_size

PILLOWS = [name for name, parts in PROFILES.items() if parts.resizer == "pillow"]
"""Recipes that resize with Pillow; those of OpenCV are in test_recipes.py, against cv2 itself."""


@pytest.mark.parametrize("profile", PILLOWS)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_profiles_equal_the_plain_implementation(profile, name, tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg(photograph(name).crop((3, 5, 300, 290))))
    parts = PROFILES[profile]
    with Image.open(path) as image:
        crop = center_crop(image.convert("RGB"), parts)
    values = Normalizer(parts)(crop[None])[0]
    assert values.shape == (3, 224, 224)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, plain_input(path, parts))


def test_the_zoo_profile_is_the_zoos_arithmetic():
    """One pixel by hand, with the constants written out once more."""
    image = Image.new("RGB", (256, 256), (10, 20, 30))
    zoo = Normalizer(PROFILES["zoo"])(center_crop(image, PROFILES["zoo"])[None])[0, :, 0, 0]
    expected = [(10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(zoo, expected, rtol=1e-6)
    caffe = Normalizer(PROFILES["caffe2"])(center_crop(image, PROFILES["caffe2"])[None])[0, :, 0, 0]
    np.testing.assert_allclose(caffe, [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((500, 375), (341, 256)), ((375, 500), (256, 341)), ((300, 300), (256, 256))],
)
def test_the_shorter_side_becomes_256(size, expected):
    assert resized_size(*size, PROFILES["zoo"]) == expected
    assert resized_size(*size, PROFILES["squash"]) == (256, 256)


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (3, 30_000)])
def test_extreme_shapes_take_neither_time_nor_memory(size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    started = time.perf_counter()
    crop = center_crop(Image.fromarray(pixels), PROFILES["zoo"])
    assert crop.shape == (224, 224, 3)
    assert time.perf_counter() - started < 5
    assert crop.std() > 0


def test_computing_only_the_crop_gives_the_same_picture(monkeypatch):
    image = photograph("coffee")
    whole = center_crop(image, PROFILES["zoo"]).astype(int)
    monkeypatch.setattr("vggbatch.preprocess.transform._LARGEST_RESIZED", 0)
    assert np.abs(center_crop(image, PROFILES["zoo"]) - whole).max() <= 1


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_any_size_gives_a_crop(width, height):
    if max(width, height) / min(width, height) > 40:
        return
    image = Image.new("RGB", (width, height), (1, 2, 3))
    for profile in (PROFILES["zoo"], PROFILES["squash"], Preprocess(resize=37, crop=33)):
        crop = center_crop(image, profile)
        assert crop.shape == (profile.crop, profile.crop, 3)
        assert (crop == [1, 2, 3]).all()


def test_channels_last_is_the_same_values():
    crops = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    first = Normalizer(PROFILES["caffe2"])(crops)
    last = Normalizer(PROFILES["caffe2"], layout="NHWC")(crops)
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), last)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_normalising_is_exact(seed):
    """Each of the 256 values is the float64 result rounded once."""
    rng = np.random.default_rng(seed)
    mean, std = rng.random(3), rng.random(3) + 0.1
    profile = Preprocess(mean=tuple(mean), std=tuple(std))
    crops = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    expected = ((crops.astype(np.float64) / 255 - mean) / std).astype(np.float32)
    np.testing.assert_array_equal(Normalizer(profile)(crops), expected.transpose(0, 3, 1, 2))
