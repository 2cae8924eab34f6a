from hypothesis import given
from hypothesis import strategies as st

from vggbatch.sources import names


def test_suffix():
    assert names.suffix("a/b.c/ILSVRC2012_val_00000001.JPEG") == "jpeg"
    assert names.suffix("a.tar/plain") == ""
    assert names.suffix(".hidden") == ""


def test_hidden():
    assert names.is_hidden(".git/x.jpg")
    assert names.is_hidden("a/._x.jpg")
    assert names.is_hidden("__MACOSX/a/x.jpg")
    assert not names.is_hidden("./a/_DSC001.jpg")


def test_wnid_of_folder():
    assert names.wnid_of_folder("val/n01440764/x.JPEG") == "n01440764"
    assert names.wnid_of_folder("n01440764.tar/n01440764_1.JPEG") == "n01440764"
    assert names.wnid_of_folder("train/n01443537/images/n01443537_0.JPEG") == "n01443537"
    assert names.wnid_of_folder("Images/n02085620-Chihuahua/n02085620_7.jpg") == "n02085620"
    assert names.wnid_of_folder("n014407645/x.JPEG") is None
    assert names.wnid_of_folder("n01440764") is None


def test_unique_numbers_repeats():
    assert names.unique(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
    assert names.unique(["a", "a#2", "a"]) == ["a", "a#2", "a#3"]
    assert names.unique(["a", "b"], avoid={"a"}) == ["a#2", "b"]


@given(
    st.lists(st.sampled_from(["a", "a#2", "a#3", "a#2#2", "b", "b#2"])),
    st.sets(st.sampled_from(["a", "a#2", "b"])),
)
def test_unique_is_unique_and_keeps_first_uses(given_names, avoid):
    result = names.unique(given_names, avoid)
    assert len(set(result)) == len(result)
    assert avoid.isdisjoint(result)
    for name in set(given_names) - avoid:
        assert result[given_names.index(name)] == name


def test_ancestors():
    assert names.ancestors(["a/b/c.jpg", "a/d.jpg", "e.jpg"]) == {"a/b", "a"}
