"""Every named recipe beside the code of the files it comes from, written again with their tools.

With IMAGENET_SAMPLE naming a folder of images, on all of them too.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.images import PHOTOGRAPHS, photograph
from vggbatch.config import DecodeOptions
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.opencv import resize_window
from vggbatch.preprocess.profiles import ORIGINS, PROFILES
from vggbatch.preprocess.transform import Normalizer, center_crop

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def center(pixels: np.ndarray, size: int = 224) -> np.ndarray:
    """mx.image.center_crop and the zoo's notebooks: the corner is half of what is left, cut."""
    height, width, _ = pixels.shape
    y0, x0 = int((height - size) / 2), int((width - size) / 2)
    return pixels[y0 : y0 + size, x0 : x0 + size]


def to_tensor_and_normalize(pixels: np.ndarray) -> np.ndarray:
    """Gluon's ToTensor and Normalize."""
    values = pixels.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (MEAN, STD))
    return (values - mean) / std


def gluon(pixels: np.ndarray, side: int) -> np.ndarray:
    """Gluon's Resize(side), which is imresize to side x side, then CenterCrop(224)."""
    return to_tensor_and_normalize(center(cv2.resize(pixels, (side, side))))


def gluoncv(pixels: np.ndarray) -> np.ndarray:
    """Gluon's Resize(256, keep_ratio=True), which is mx.image.resize_short."""
    height, width, _ = pixels.shape
    size = (256, 256 * height // width) if height > width else (256 * width // height, 256)
    return to_tensor_and_normalize(center(cv2.resize(pixels, size)))


def intel(pixels: np.ndarray) -> np.ndarray:
    """`preprocess` of onnxrt_inference.ipynb."""
    image = center(cv2.resize(pixels / 255.0, (256, 256)))
    return np.transpose((image - MEAN) / STD, (2, 0, 1)).astype(np.float32)


def pillow_short(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    ratio = 256.0 / min(image.size)
    if image.size[0] > image.size[1]:
        return image.resize((round(ratio * image.size[0]), 256), Image.BILINEAR)
    return image.resize((256, round(ratio * image.size[1])), Image.BILINEAR)


def middle(pixels: np.ndarray) -> np.ndarray:
    """`crop_center` of imagenet_preprocess.py: half of the image minus half of the crop."""
    height, width, _ = pixels.shape
    y, x = height // 2 - 112, width // 2 - 112
    return pixels[y : y + 224, x : x + 224]


def zoo(pixels: np.ndarray) -> np.ndarray:
    image = middle(np.asarray(pillow_short(pixels)))
    return ((image / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def squash(pixels: np.ndarray) -> np.ndarray:
    image = middle(np.asarray(Image.fromarray(pixels).resize((256, 256), Image.BILINEAR)))
    return ((image / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def caffe2(pixels: np.ndarray) -> np.ndarray:
    image = middle(np.asarray(pillow_short(pixels)))[:, :, ::-1]
    return (image - [103.939, 116.779, 123.68]).transpose(2, 0, 1).astype(np.float32)


RECIPES = {
    "gluon256": lambda pixels: gluon(pixels, 256),
    "intel256": intel,
    "gluoncv": gluoncv,
    "zoo": zoo,
    "mxnet224": lambda pixels: gluon(pixels, 224),
    "squash": squash,
    "caffe2": caffe2,
}


def ours(pixels: np.ndarray, name: str) -> np.ndarray:
    profile = PROFILES[name]
    return Normalizer(profile)(center_crop(Image.fromarray(pixels), profile)[None])[0]


def gray_levels(name: str, pixels: np.ndarray) -> float:
    """The largest difference from the original code, in gray levels of the crop."""
    profile = PROFILES[name]
    scale = profile.scale * max(profile.std)
    return float(np.abs(ours(pixels, name) - RECIPES[name](pixels)).max()) * scale


def sample() -> list[Path]:
    folder = os.environ.get("IMAGENET_SAMPLE")
    return sorted(Path(folder).glob("*.JPEG")) if folder else []


def test_every_profile_has_a_recipe_and_an_origin():
    assert set(RECIPES) == set(PROFILES) == set(ORIGINS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_profile_gives_what_the_original_code_gives(name):
    for photo in PHOTOGRAPHS:
        image = np.asarray(photograph(photo).convert("RGB"))
        for pixels in (image, image[:301, :], image[:, :257], image[::7, ::5], image[:40, :333]):
            limit = 0.02 if name == "intel256" else 0.001
            assert gray_levels(name, np.ascontiguousarray(pixels)) < limit, (photo, pixels.shape)


@pytest.mark.skipif(not sample(), reason="IMAGENET_SAMPLE names no folder of images")
@pytest.mark.parametrize("name", RECIPES)
def test_a_profile_gives_what_the_original_code_gives_on_the_sample(name):
    for path in sample():
        pixels = np.asarray(decode_image(path.read_bytes(), DecodeOptions()))
        assert gray_levels(name, pixels) < 0.02, path.name


SIDES = st.one_of(st.integers(1, 6), st.integers(1, 700))


@settings(max_examples=120, deadline=None)
@given(SIDES, SIDES, st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_opencvs_filter_on_any_shape(height, width, to_height, to_width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    size, whole = (to_width, to_height), (0, 0, to_width, to_height)
    expected = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(resize_window(pixels, size, whole) - expected).max() <= 1
    expected = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    found = resize_window(pixels, size, whole, as_float=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("as_float", [False, True])
def test_a_window_is_a_part_of_the_whole(as_float):
    pixels = np.asarray(photograph("coffee"))
    whole = resize_window(pixels, (300, 256), (0, 0, 300, 256), as_float=as_float)
    part = resize_window(pixels, (300, 256), (38, 16, 262, 240), as_float=as_float)
    np.testing.assert_array_equal(part, whole[16:240, 38:262])


def test_opencv_and_pillow_differ_where_an_image_shrinks():
    """Or nothing above would show which of them a profile uses."""
    pixels = np.asarray(photograph("coffee"))
    assert np.abs(ours(pixels, "gluon256") - squash(pixels)).max() * 255 * 0.225 > 20
