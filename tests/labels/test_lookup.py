import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.labels.lookup import Labels
from vggbatch.sources.classes import Classes

CLASSES = Classes(("n00000001", "n00000002", "n00000003"))


def labels_of(**names: int) -> Labels:
    return Labels.of(names.keys(), names.values(), CLASSES)


def match(labels: Labels, *ids: str) -> list:
    return labels.match(ids, [None] * len(ids)).to_pylist()


def test_folders_named_by_numbers_are_labels_where_classes_are():
    digits = Labels.embedded(Classes(tuple("0123456789")))
    assert match(digits, "3/a.png", "9/b.png", "12/c.png") == [3, 9, None]
    assert match(Labels.embedded(CLASSES), "1/a.png") == [None]


def test_suffixes_and_folders_do_not_matter():
    labels = labels_of(**{"a.JPEG": 0, "b": 1, "val/c.png": 2})
    assert match(labels, "x.tar/a.JPEG", "deep/b.jpg", "a", "val/c.png", "c.png") == [0, 1, 0, 2, 2]
    assert match(labels, "other/c.png", "aa.JPEG", "x/va/c") == [None, None, None]


def test_the_wordnet_id_that_hugging_face_appends_does_not_matter():
    labels = labels_of(**{"ILSVRC2012_val_00000293.JPEG": 1, "n01440764_26.JPEG": 0, "a": 2})
    ids = [
        "val.parquet/ILSVRC2012_val_00000293_n01440764.JPEG",
        "n01440764_26_n01440764.JPEG",
        "ILSVRC2012_val_00000293",
        "a_n01440764",
        "xILSVRC2012_val_00000293_n01440764",
    ]
    assert match(labels, *ids) == [1, 0, 1, None, None]
    other_way = labels_of(**{"ILSVRC2012_val_00000293_n01440764.JPEG": 1})
    assert match(other_way, "a.tar/ILSVRC2012_val_00000293.JPEG") == [1]


def test_longest_name_wins():
    labels = labels_of(**{"a.jpg": 0, "d/a.jpg": 1})
    assert match(labels, "d/a.jpg", "e/a.jpg", "x/d/a.jpg") == [1, 0, 1]


def test_shard_names_are_no_part_of_the_path():
    labels = labels_of(**{"val/n1/a.jpg": 0, "val/n2/a.jpg": 1})
    assert match(labels, "s.tar/n1/a.jpg", "train-00000-of-00010/n2/a.jpg", "s.tar/a.jpg") == [
        0,
        1,
        None,
    ]


def test_agreeing_ends_are_no_doubt():
    assert match(labels_of(**{"x/a.jpg": 1, "y/a.jpg": 1}), "a.jpg") == [1]


def test_two_labels_for_one_name():
    with pytest.raises(ValueError, match=r"d/a\.jpg has two labels, 0 and 1"):
        Labels.of(["d/a.jpg", "d/a.jpg"], [0, 1], CLASSES)
    assert len(Labels.of(["a.jpg", "a.jpg"], [1, 1], CLASSES)) == 1


def test_equal_stems_with_different_suffixes_are_different_images():
    labels = Labels.of(["d/a.jpg", "d/a.png", "b.jpg"], [0, 1, 2], CLASSES)
    assert match(labels, "d/a.jpg", "d/a.png", "d/a.webp", "b.png", "b.JPEG") == [
        *(0, 1, None, None, 2)
    ]


def test_suffixes_of_one_format_are_one_but_the_same_one_comes_first():
    labels = Labels.of(["a.jpg", "a.jpeg", "b.jpeg"], [0, 1, 2], CLASSES)
    assert match(labels, "a.jpg", "a.jpeg", "b.JPG", "a.jpe") == [0, 1, 2, None]


def test_normal_forms_of_unicode():
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    one = Labels.of([composed], [1], CLASSES)
    assert match(one, composed, f"x/{decomposed}") == [1, 1]
    both = Labels.of([composed, decomposed], [1, 2], CLASSES)
    assert match(both, composed, decomposed, f"x/{decomposed}") == [1, 2, 2]
    assert both.without_image([composed]) == [decomposed]


def test_repeats_have_the_label_of_the_image():
    labels = Labels.of(["a.jpg", "b#2.jpg", "c", "c#2"], [0, 1, 2, 0], CLASSES)
    ids = ["a.jpg#2", "x.tar/a.jpg#13", "b#2.jpg", "b.jpg", "c#2", "c#3"]
    assert match(labels, *ids) == [0, 0, 1, None, 0, 2]


def test_paths_as_windows_writes_them_and_with_needless_parts():
    labels = Labels.of(["C:\\data\\img\\a.jpg", ".//img/./b.jpg"], [1, 2], CLASSES)
    assert match(labels, "img/a.jpg", "a.jpg", "img/b.jpg") == [1, 1, 2]


def test_label_of_a_uri_whose_signature_has_changed():
    labels = Labels.of(["https://h/a.jpg?X-Amz-Signature=1"], [1], CLASSES)
    assert match(labels, "https://h/a.jpg") == [1]


def test_folders_named_after_classes():
    named = Labels.embedded(Classes(("cat", "dog", "7")))
    ids = ["val/cat/a.jpg", "s.tar/Dog/b.jpg", "bird/c.jpg", "d.jpg", "7/e.jpg", "s.tar/f.jpg"]
    assert match(named, *ids) == [0, 1, None, None, 2, None]
    numbered = Labels.embedded(Classes(("cat", "dog"), folders=True))
    assert match(numbered, "1/a.jpg", "val/0/b.jpg", "2/c.jpg") == [1, 0, None]


def test_embedded():
    tokens = ["n00000002", "2", "1.0", "3", "-1", "n99999999", "cat", None, "1.5", "nan"]
    tokens += ["1e400", ""]
    out = Labels.embedded(CLASSES).match([""] * len(tokens), tokens)
    assert out.to_pylist() == [1, 2, 1] + [None] * 9
    assert str(out.type) == "int32"


def test_pickles_its_arrays_out_of_band():
    buffers: list = []
    labels = labels_of(a=1, b=2)
    data = pickle.dumps(labels, protocol=5, buffer_callback=buffers.append)
    assert match(pickle.loads(data, buffers=buffers), "b") == [2]
    assert len(buffers) == 3


part = st.lists(st.sampled_from(["a", "b", "a.b", "b-"]), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(part, st.integers(0, 2), max_size=8), st.lists(part, max_size=8))
def test_match_agrees_with_a_plain_search(table, ids):
    def plain(image_id: str):
        ends = [k for k in table if image_id == k or image_id.endswith("/" + k)]
        if ends:
            return table[max(ends, key=len)]
        values = {v for k, v in table.items() if k.endswith("/" + image_id)}
        return values.pop() if len(values) == 1 else None

    labels = Labels.of(table.keys(), table.values(), CLASSES)
    assert match(labels, *ids) == [plain(i) for i in ids]


def test_many_labels():
    names = [f"ILSVRC2012_val_{i:08}" for i in range(100_000)]
    values = np.arange(100_000) % 3
    labels = Labels.of(names, values.tolist(), CLASSES)
    ids = [f"s.tar/{n}.JPEG" for n in names[::1000]]
    assert match(labels, *ids) == values[::1000].tolist()


def test_names_of_an_unusual_form_are_compared_as_plain_ones():
    labels = labels_of(**{"val\\a.jpg": 0, "./val/b.jpg": 1, "val//c.jpg": 2, "val/.d.jpg": 1})
    ids = ["val/a.jpg", "val/b.jpg", "val/c.jpg", "val/.d.jpg", "x.tar/val/x/../a.jpg", "val/d.jpg"]
    assert match(labels, *ids) == [0, 1, 2, 1, 0, None]
