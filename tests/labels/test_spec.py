import pytest

from vggbatch.labels import LabelSpec
from vggbatch.labels.spec import is_in_rows


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("embedded", ("", "embedded", "")),
        ("val.csv", ("", "val.csv", "")),
        ("ReaL=real.json", ("ReaL", "real.json", "")),
        ("A=embedded@imagenet-a", ("A", "embedded", "imagenet-a")),
        ("s3://bucket/a@b.csv", ("", "s3://bucket/a@b.csv", "")),
        ("x=me@home.csv@imagenet-r", ("x", "me@home.csv", "imagenet-r")),
    ],
)
def test_parts(text, parts):
    spec = LabelSpec.parse(text)
    assert (spec.name, spec.source, spec.subset) == parts
    assert spec.public() == text


def test_a_file_may_be_a_subset(tmp_path):
    (tmp_path / "some.txt").write_text("1\n")
    assert LabelSpec.parse(f"v.csv@{tmp_path}/some.txt").subset == f"{tmp_path}/some.txt"


def test_what_may_be_secret_is_not_written_down():
    spec = LabelSpec.parse("V2=https://me:secret@host/labels.csv?token=secret")
    assert spec.name == "V2"
    assert spec.public() == "V2=https://host/labels.csv"


@pytest.mark.parametrize(
    ("text", "recorded", "there"),
    [
        ("embedded", None, True),
        ("A=embedded@imagenet-a", None, True),
        ("val.csv", "val.csv", True),
        ("x=val.csv@imagenet-r", "x=val.csv@imagenet-r", True),
        ("val.csv", None, False),
        ("val.csv@http://host/classes.txt", "val.csv@http://host/classes.txt", False),
        ("embedded@/etc/hosts", None, False),
        ("http://user@host/val.csv", None, False),
    ],
)
def test_what_is_in_rows_opens_no_file(text, recorded, there, monkeypatch):
    monkeypatch.setattr("vggbatch.labels.spec._is_file", None)
    assert is_in_rows(text, recorded) == there
