import numpy as np
import pytest
from PIL import Image

from tests.support.images import write_folder
from vggbatch.config import Preprocess
from vggbatch.labels import load_labels
from vggbatch.quantization.sampling import ImagePool
from vggbatch.sources import input_warning
from vggbatch.sources.input_warnings import RAW

PROFILE = Preprocess(resize=32, crop=32)
CLASSES = tuple(f"n{i:08} thing" for i in range(20))


@pytest.fixture
def folder(tmp_path):
    """Twenty images, each of one gray that gives its number."""
    for i in range(20):
        Image.new("RGB", (40, 40), (10 * i,) * 3).save(tmp_path / f"{i:02}.png")
    return tmp_path


@pytest.fixture
def labels(folder):
    """Of every other image: 19 less its number."""
    lines = "".join(f"{i:02}.png,{19 - i}\n" for i in range(0, 20, 2))
    (folder / "labels.csv").write_text("file,class_index\n" + lines)
    return load_labels(str(folder / "labels.csv"), CLASSES)


def numbers(pool, places):
    return [round(int(crop[0, 0, 0]) / 10) for crop, _ in pool.read(places)]


def test_images_are_spread_evenly(folder):
    pool = ImagePool([str(folder)], PROFILE)
    assert numbers(pool, pool.find(5)) == [0, 4, 9, 14, 19]
    assert numbers(pool, pool.find(99)) == [i for i in range(20) if i not in (0, 4, 9, 14, 19)]
    assert pool.find(1) == []


def test_places_that_are_given_back_are_found_again(folder):
    pool = ImagePool([str(folder)], PROFILE)
    first = pool.find(8)
    pool.give_back(first)
    assert pool.find(8) == first


def test_labels_belong_to_their_images(folder, labels, tmp_path):
    pool = ImagePool([str(folder / "*.png")], PROFILE, labels)
    found = pool.read_all(pool.find(20), tmp_path / "crops.npy")
    expected = [19 - i if i % 2 == 0 else -1 for i in range(20)]
    assert found.labels.tolist() == expected
    assert (found.crops[:, 0, 0, 0] / 10).round().tolist() == list(range(20))


def test_only_labeled_ones_where_those_are_wanted(folder, labels):
    pool = ImagePool([str(folder / "*.png")], PROFILE, labels)
    places = pool.find(4, labeled=True)
    assert [(round(int(c[0, 0, 0]) / 10), label) for c, label in pool.read(places)] == [
        (i, 19 - i) for i in (0, 6, 12, 18)
    ]
    assert len(pool.find(99, labeled=True)) == 6


def test_what_cannot_be_read_is_counted(folder):
    (folder / "05.png").write_bytes(b"no image")
    pool = ImagePool([str(folder)], PROFILE)
    assert numbers(pool, pool.find(20)) == [i for i in range(20) if i != 5]
    assert pool.failed == 1


def test_the_same_pixels_are_read_once_for_whatever_purpose(folder, tmp_path):
    for i in (3, 4):
        (folder / f"copy{i}.png").write_bytes((folder / f"{i:02}.png").read_bytes())
    Image.open(folder / "05.png").save(folder / "other.bmp")  # other bytes
    pool = ImagePool([str(folder)], PROFILE)
    first = numbers(pool, pool.find(12))
    second = numbers(pool, pool.find(99))
    assert sorted(first + second) == list(range(20))
    assert pool.repeated == 3


def test_several_inputs_give_their_share(folder):
    for part, rows in (("a", range(10)), ("b", range(10, 20))):
        (folder / part).mkdir()
        for i in rows:
            (folder / f"{i:02}.png").rename(folder / part / f"{i:02}.png")
    pool = ImagePool([str(folder / "a"), str(folder / "b")], PROFILE)
    found = numbers(pool, pool.find(4))
    assert len(found) == 4
    assert np.isin(found, range(10, 20)).sum() == 2


def test_all_shards_are_opened_where_the_first_have_too_few(tmp_path):
    for number, count in enumerate((1, 9, 1, 1)):
        write_folder(tmp_path / str(number), count, start=20 * number)
    pool = ImagePool([str(tmp_path / part) for part in "0123"], PROFILE)
    assert len(pool.find(2)) == 2
    assert len(pool.find(10)) == 10


def test_what_is_no_image_is_named(folder):
    (folder / "raw.nef").write_bytes(b"")
    pool = ImagePool([str(folder)], PROFILE)
    pool.find(3)
    assert pool.left_out == (input_warning(RAW, ["raw.nef"]),)
