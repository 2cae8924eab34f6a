import numpy as np
import pytest
from PIL import Image

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.labels import load_labels
from vggbatch.quantization.sampling import sample
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


def numbers(found):
    return (found.crops[:, 0, 0, 0] / 10).round().astype(int).tolist()


def test_images_are_spread_evenly(folder):
    assert numbers(sample([str(folder)], 5, PROFILE)) == [0, 4, 9, 14, 19]
    assert numbers(sample([str(folder)], 99, PROFILE)) == list(range(20))


def test_labels_belong_to_their_images(folder, tmp_path):
    (tmp_path / "labels.csv").write_text(
        "file,class_index\n" + "".join(f"{i:02}.png,{19 - i}\n" for i in range(0, 20, 2))
    )
    labels = load_labels(str(tmp_path / "labels.csv"), CLASSES)
    found = sample([str(folder / "*.png")], 20, PROFILE, labels)
    expected = [19 - i if i % 2 == 0 else -1 for i in range(20)]
    assert found.labels.tolist() == expected


def test_what_cannot_be_read_is_counted(folder):
    (folder / "05.png").write_bytes(b"no image")
    found = sample([str(folder)], 20, PROFILE)
    assert found.failed == 1
    assert numbers(found) == [i for i in range(20) if i != 5]
    for path in folder.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UsageError, match="none of the 20 images"):
        sample([str(folder)], 20, PROFILE)


def test_several_inputs_give_their_share(folder, tmp_path):
    for part, rows in (("a", range(10)), ("b", range(10, 20))):
        (folder / part).mkdir()
        for i in rows:
            (folder / f"{i:02}.png").rename(folder / part / f"{i:02}.png")
    found = sample([str(folder / "a"), str(folder / "b")], 4, PROFILE)
    assert len(found.crops) == 4
    assert np.isin(numbers(found), range(10, 20)).sum() == 2


def test_what_is_no_image_is_named(folder):
    (folder / "raw.nef").write_bytes(b"")
    assert sample([str(folder)], 3, PROFILE).left_out == (input_warning(RAW, ["raw.nef"]),)
