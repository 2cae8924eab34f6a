import pytest

from vggbatch.labels import LabelSpec


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
