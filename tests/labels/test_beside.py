import json

import pytest

from vggbatch.errors import UsageError
from vggbatch.labels.beside import classes_beside

WNIDS = ("n02102040", "n03000684")
README = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': n02102040
          '1': n03000684
---
# A data set
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data/label.labels.txt", "n02102040\nn03000684\n"),
        ("data/labels.txt", "0:n02102040\n1:n03000684\n"),
        (
            "data/dataset_info.json",
            json.dumps({"features": {"y": {"names": WNIDS, "_type": "ClassLabel"}}}),
        ),
        ("classnames.txt", "n02102040\nn03000684\n"),
        ("data/classes.txt", "n02102040\nn03000684\n"),
        ("data/README.md", README),
        ("README.md", README),
    ],
)
def test_lists_beside_shards(tmp_path, name, content):
    (tmp_path / "data").mkdir()
    (tmp_path / name).write_text(content)
    shards = [str(tmp_path / "data" / f"{i}.tfrecord") for i in range(3)]
    assert classes_beside(shards) == (str(tmp_path / name), WNIDS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "a.jpg 5\nb.jpg 7\n"),
        ("README.md", "# A data set\n"),
        ("README.md", "---\nlicense: mit\n---\n"),
        ("dataset_info.json", "{"),
    ],
)
def test_other_files_are_none(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert classes_beside([str(tmp_path / "a.tfrecord")]) is None


def test_lists_that_differ_are_refused(tmp_path):
    for folder, names in (("a", "cat\ndog\n"), ("b", "dog\ncat\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labels.txt").write_text(names)
    with pytest.raises(UsageError, match=r"different classes.*indices\.names"):
        classes_beside([str(tmp_path / "a/1.tfrecord"), str(tmp_path / "b/1.tfrecord")])


BOMBS = {
    "README.md": "---\na: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n---\n",
    "dataset_info.json": "[" * 200_000,
    "classes.txt": '{"0":' * 100_000,
    "labels.txt": "{" + "(" * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_list_that_is_a_bomb_is_none(tmp_path, name):
    (tmp_path / name).write_text(BOMBS[name])
    assert classes_beside([str(tmp_path / "a.parquet")]) is None
