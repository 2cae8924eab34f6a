import pytest

from vggbatch.errors import UsageError
from vggbatch.labels import load_labels

CLASSES = ("n01440764 tench, Tinca tinca", "n01443537 goldfish, Carassius auratus")


def test_embedded():
    assert load_labels("embedded", CLASSES).match(["a"], ["n01443537"]).to_pylist() == [1]


def test_csv(tmp_path):
    (tmp_path / "l.csv").write_text("file,label\na.jpg,1\n")
    labels = load_labels(str(tmp_path / "l.csv"), CLASSES)
    assert labels.match(["a.jpg"], [None]).to_pylist() == [1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no such file"),
        (b"caf\xe9.jpg 1", "not UTF-8"),
        (b"a.jpg 7", "no class of this model"),
        (b"490\n361\n", "devkit"),
    ],
)
def test_faults_are_one_clear_line(tmp_path, data, message):
    path = tmp_path / "l.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        load_labels(str(path), CLASSES)
