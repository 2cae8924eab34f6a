import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.config import Preprocess, Protocol
from vggbatch.preprocess.views import cut, describe, views, work

ZOO = Preprocess()


@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        ({}, 1),
        ({"views": "center", "flip": True}, 2),
        ({"views": "center", "scales": [256, 384, 512]}, 3),
        ({"views": "ten"}, 10),
        ({"views": "ten", "flip": False}, 5),
        # Simonyan and Zisserman 2014, section 4.3: 50 crops a scale, 150 over three scales
        ({"views": "grid"}, 50),
        ({"views": "grid", "scales": [256, 384, 512]}, 150),
        ({"views": "dense"}, 2),
        ({"views": "dense", "scales": "224,256,288"}, 6),
        ({"views": "grid+dense", "scales": [256, 384, 512]}, 156),
    ],
)
def test_numbers_of_views(protocol, count):
    made = Protocol.model_validate(protocol)
    found = views(made)
    assert len(found) == len(set(found)) == count
    assert sum(view.weight for view in found) == pytest.approx(1)
    assert describe(made, ZOO)["views_an_image"] == count


def test_crops_and_the_whole_image_count_a_half_each():
    found = views(Protocol(views="grid+dense", scales=(256, 384)))
    assert sum(view.weight for view in found if view.crop is None) == pytest.approx(0.5)


def test_the_work_of_a_photograph():
    assert work(ZOO, Protocol()) == 1
    assert work(ZOO, Protocol(views="grid", scales=(256, 384, 512))) == 150
    assert work(ZOO, Protocol(views="dense", flip=False)) == pytest.approx(256 * 341 / 224**2, 0.01)


@given(height=st.integers(32, 90), width=st.integers(32, 90), kind=st.sampled_from(["ten", "grid"]))
def test_crops_reach_every_edge_and_none_goes_over_it(height, width, kind):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.indices((height, width))
    crops = [cut(picture, kind, i, 32) for i in range({"ten": 5, "grid": 25}[kind])]
    assert {crop.shape for crop in crops} == {(32, 32, 3)}
    tops, lefts = ({int(crop[0, 0, axis]) for crop in crops} for axis in (0, 1))
    assert (min(tops), max(tops)) == (0, height - 32)
    assert (min(lefts), max(lefts)) == (0, width - 32)
    if kind == "grid":
        steps = np.diff([int(crop[0, 0, 1]) for crop in crops[:5]])
        assert steps.max() - steps.min() <= 1


def test_the_fifth_of_ten_is_the_centre():
    picture = np.zeros((60, 81, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.indices((60, 81))
    assert cut(picture, "ten", 4, 32)[0, 0, :2].tolist() == [60 // 2 - 16, 81 // 2 - 16]
