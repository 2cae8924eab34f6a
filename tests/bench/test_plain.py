import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.images import cut, jpeg
from vggbatch.bench.plain import Recipe, crop_of, network_input
from vggbatch.config import DecodeOptions, Preprocess
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.profiles import PROFILES
from vggbatch.preprocess.transform import Normalizer, center_crop


@settings(max_examples=30, deadline=None)
@given(width=st.integers(10, 200), height=st.integers(10, 200), squash=st.booleans())
def test_crops_are_those_of_the_library(width, height, squash):
    profile = Preprocess(resize=40, crop=32, resize_mode="squash" if squash else "shorter")
    data = jpeg(cut(1).resize((width, height)))
    found = crop_of(io.BytesIO(data), Recipe(**profile.model_dump()))
    np.testing.assert_array_equal(found, center_crop(decode_image(data, DecodeOptions()), profile))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_values_are_those_of_the_library(name, layout):
    profile = PROFILES[name]
    crops = np.stack([np.asarray(cut(i, width=24, height=24)) for i in range(3)])
    found = network_input(crops, Recipe(**profile.model_dump()), layout)
    assert found.dtype == np.float32
    expected = Normalizer(profile, layout=layout)(crops)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_grey_images(tmp_path):
    Image.new("L", (60, 50), 7).save(tmp_path / "gray.png")
    recipe = Recipe(**Preprocess(resize=40, crop=32).model_dump())
    assert (crop_of(tmp_path / "gray.png", recipe) == 7).all()
