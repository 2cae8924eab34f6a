import pickle

import pytest

from vggbatch.class_list import imagenet
from vggbatch.sources.classes import Classes, identified

IMAGENET = Classes(imagenet())
SUBSET = ("n02102040", "n03000684", "n03394916")


def first_names(lines):
    """As TensorFlow's ImageNetLabels.txt and torch hub's imagenet_classes.txt have them."""
    return tuple(line[10:].split(", ")[0] for line in lines)


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("n02123045", 281),
        ("n02123045 85 1 499 272", 281),
        ("n02085620-Chihuahua", 151),
        ("tabby cat", 281),
        ("Tabby_Cat", 281),
        ("electric-ray", 5),
        ("black and tan coonhound", 165),
        ("tabby, tabby cat", 281),
        ("maillot, tank suit", 639),
        ("sunglass", 836),
        ("281", 281),
        ("281.0", 281),
        *(
            (nothing, None)
            for nothing in ("", "-1", "nan", "None", "1000", "2.5", "cat", "n00000000")
        ),
    ],
)
def test_labels_mean_classes(label, index):
    assert IMAGENET.find(label) == index


@pytest.mark.parametrize(
    ("name", "both"),
    [("crane", (134, 517)), ("maillot", (638, 639)), ("missile", (657, 744))],
)
def test_names_of_two_classes_are_in_doubt(name, both):
    assert IMAGENET.candidates(name) == both
    assert IMAGENET.find(name) is None
    assert all(f"class {index} (" in IMAGENET.explain(name) for index in both)


def test_a_subset_of_its_own_order_is_translated():
    classes = Classes(imagenet(), names=SUBSET)
    assert [classes.find(label) for label in ("0", "1", "2", "3", "-1")] == [
        *(217, 491, 566, None, None)
    ]
    assert classes.is_past_end("3")
    named = Classes(imagenet(), names=("English springer", "church, church building", "other"))
    assert [named.find(label) for label in "012"] == [217, 497, None]
    assert not named.is_past_end("2")


def test_labels_that_count_from_one():
    classes = Classes(imagenet(), start=1)
    assert [classes.find(label) for label in ("0", "1", "1000", "1001")] == [None, 0, 999, None]


def test_background_class():
    lines = ("background", *imagenet())
    classes = Classes(lines)
    assert classes.find("n01440764") == 1
    # ImageNet's index 7 or TensorFlow's label 7
    assert classes.candidates("7") == (7, 8)
    assert "indices.start" in classes.explain("7")
    assert Classes(lines, start=0).find("7") == 7
    assert Classes(lines, start=-1).find("7") == 8
    assert Classes(lines, names=imagenet()).find("7") == 8


def test_names_alone_are_imagenets_by_their_order():
    names = first_names(imagenet())
    for lines in (names, ("background", *names)):
        classes = Classes(lines)
        assert classes.find("n03126707") == lines.index("crane", 200)
    spelled = tuple("crane2" if i == 517 else name for i, name in enumerate(names))
    assert Classes(imagenet(), names=identified(spelled)).find("517") == 517
    # sorted by name they are not, and two of them are in doubt
    other = Classes(tuple(sorted(names)))
    assert other.find("n01440764") == sorted(names).index("tench")
    assert len(other.candidates("crane")) == 2


def test_full_names_of_a_subset_are_identified():
    lines = ("bonnet, poke bonnet", "maillot", "maillot, tank suit")
    assert [line[:9] for line in identified(lines)] == ["n02869837", "n03710637", "n03710721"]
    assert identified(("maillot", "tabby")) == ("maillot", "tabby")


def test_numbers_as_names_of_classes():
    # as torchvision's ImageFolder orders folders 0 ... 10
    classes = Classes(("0", "1", "10", "2"))
    assert classes.candidates("1") == (1,)
    assert classes.candidates("2") == (2, 3)
    assert classes.find("10") == 2
    assert Classes(imagenet(), names=("7", "9")).find("1") is None


def test_pickles_small():
    classes = Classes(imagenet(), start=1)
    classes.find("7")
    again = pickle.loads(pickle.dumps(classes))
    assert again == classes
    assert again.find("7") == 6
