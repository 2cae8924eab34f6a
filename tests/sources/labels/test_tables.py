import pytest

from vggbatch.sources.columns import parse
from vggbatch.sources.labels.tables import from_table

SYNSETS = ("n01440764", "n01443537", "n01484850")


def match(text: str, *ids: str) -> list:
    return from_table(parse(text), SYNSETS).match(ids, [None] * len(ids)).to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        "file,class_index,wnid\na.JPEG,1,n01443537\nb.JPEG,0,n01440764\n",
        "image,label\na.JPEG,1\nb.JPEG,0\n",
        "a.JPEG 1\nb.JPEG 0\n",
        "a.JPEG n01443537\nb.JPEG n01440764",
        "ImageId,PredictionString\na,n01443537 85 1 499 272\nb,n01440764 1 2 3 4 n01440764 5 6 7 8",
    ],
)
def test_forms(text):
    assert match(text, "a.JPEG", "x.tar/b.JPEG", "c.JPEG") == [1, 0, None]


def test_empty_label_is_unknown():
    assert match("file,label\na.jpg,\nb.jpg,2\n", "a.jpg", "b.jpg") == [None, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 3\n", "'3' is no class of this model .3 classes."),
        ("a.jpg n00000000\n", "n00000000"),
        ("file,class_index,wnid\na.jpg,0,n01443537\n", "different classes"),
        ("file,size\na.jpg,3\n", "no column has the label"),
        ("", "no column"),
    ],
)
def test_faults(text, message):
    with pytest.raises(ValueError, match=message):
        from_table(parse(text), SYNSETS)
