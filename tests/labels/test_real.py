import json
import pickle

import pytest

from vggbatch.class_list import imagenet
from vggbatch.errors import UsageError
from vggbatch.labels import load_labels

CLASSES = imagenet()[:10]
LISTS = [[3], [], [1, 9], [0]]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "real.json"
    path.write_text(json.dumps(LISTS))
    return path


def test_images_have_several_labels_or_none(file):
    labels = pickle.loads(pickle.dumps(load_labels(str(file), CLASSES)))
    ids = [f"val.tar/ILSVRC2012_val_{number:08d}.JPEG" for number in (3, 2, 1, 5)]
    assert labels.match(ids, [None] * 4).to_pylist() == [[1, 9], [], [3], None]


def test_indices_are_those_of_imagenet_in_whatever_order_the_network_has_its_classes(file):
    labels = load_labels(str(file), CLASSES[::-1])
    assert labels.match(["ILSVRC2012_val_00000001.JPEG"], [None]).to_pylist() == [[6]]


@pytest.mark.parametrize("content", ["{}", "[1, 2]", "[[10]]", "[[true]]", '[["a"]]', "[["])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(UsageError, match=r"real\.json"):
        load_labels(str(tmp_path / "real.json"), CLASSES)
