import pytest

from vggbatch.labels.tables import from_table
from vggbatch.sources.classes import Classes
from vggbatch.sources.tables.columns import read

CLASSES = Classes(("n01440764 tench", "n01443537 goldfish", "n01484850 shark, white shark"))


def match(text: str, *ids: str) -> list:
    return (
        from_table(read(text.encode(), "l.csv"), CLASSES).match(ids, [None] * len(ids)).to_pylist()
    )


@pytest.mark.parametrize(
    "text",
    [
        "file,class_index,wnid\na.JPEG,1,n01443537\nb.JPEG,0,n01440764\n",
        "image,label\na.JPEG,1\nb.JPEG,0\n",
        "a.JPEG 1\nb.JPEG 0\n",
        "a.JPEG n01443537\nb.JPEG n01440764",
        "a.JPEG;1\nb.JPEG;0\n",
        "image_name|species|class\na.JPEG|fish|goldfish\nb.JPEG|fish|Tench\n",
        "a.JPEG,wrong,n01443537\nb.JPEG,1,n01440764\n",
        "file,wnid,label\na.JPEG,n01443537,7\nb.JPEG,n01440764,8\n",
        '"a.JPEG", "1"\r"b.JPEG", "0"\r',
        '{"a.JPEG": 1, "b.JPEG": "tench"}',
        '{"file_name": "a.JPEG", "label": 1}\n{"file_name": "b.JPEG", "label": 0}\n',
        '{"labels": [["a.JPEG", 1], ["b.JPEG", 0]]}',
        '{"file": {"0": "a.JPEG", "1": "b.JPEG"}, "label": {"0": 1, "1": 0}}',
        "ImageId,PredictionString\na,n01443537 85 1 499 272\nb,n01440764 1 2 3 4 n01440764 5 6 7 8",
    ],
)
def test_forms(text):
    assert match(text, "a.JPEG", "x.tar/b.JPEG", "c.JPEG") == [1, 0, None]


SIGNS = [
    "2008_000008 -1\n2008_000015  1\n2008_000019  0\n",
    "image,label\na.jpg,-1\nb.jpg,1\n",
]


@pytest.mark.parametrize("text", SIGNS)
def test_signs_are_no_classes(text):
    with pytest.raises(ValueError, match=r"only -1, .*write a label file"):
        match(text, "a.jpg")


def test_minus_one_among_classes_is_no_label():
    assert match("file,label\na.jpg,-1\nb.jpg,2\nc.jpg,1\n", "a.jpg", "b.jpg") == [None, 2]
    two = Classes(("cat", "dog"))
    labels = from_table(read(b"file,label\na.jpg,-1\nb.jpg,1\n", "l.csv"), two)
    assert labels.match(["a.jpg", "b.jpg"], [None] * 2).to_pylist() == [None, 1]


def test_a_column_for_each_class_is_no_column_of_classes():
    for header in ("filename,class,object", "filename,class,object,c"):
        text = f"{header}\na.jpg,1,0,0\nb.jpg,0,1,0\n" if "c" in header[-1] else ""
        text = text or f"{header}\na.jpg,1,0\nb.jpg,0,1\n"
        with pytest.raises(ValueError, match="seem to say the class together"):
            match(text, "a.jpg")
    assert match("file,label,crowd\na.jpg,1,0\nb.jpg,0,0\n", "a.jpg", "b.jpg") == [1, 0]


def test_empty_label_is_unknown():
    assert match("file,label\na.jpg,\nb.jpg,2\n", "a.jpg", "b.jpg") == [None, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 4\n", "4 is no class of this model .3 classes."),
        ("a.jpg 3\n", "3 is among its labels and 0 is not.*indices.start=1"),
        ("a.jpg 3\nb.jpg 0\n", "3 is no class of this model.*indices.names"),
        ("file,label\na.jpg,trout\n", "a.jpg: 'trout' is no class of this model"),
        ("a.jpg n00000000\n", "n00000000"),
        (
            "file,class_index,wnid\na.jpg,1,n01443537\nb.jpg,0,n01440764\nc.jpg,0,n01484850\n",
            "are different classes in 1 rows",
        ),
        ("file,size\na.jpg,3\n", "no column has the label"),
        ("", "empty"),
        ("file,label\n", "no row"),
        ("a.jpg\nb.jpg\n", "list of images"),
    ],
)
def test_faults(text, message):
    with pytest.raises(ValueError, match=message):
        from_table(read(text.encode(), "l.csv"), CLASSES)
