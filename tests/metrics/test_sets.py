from __future__ import annotations

from pathlib import Path

import pytest

from vggbatch.errors import UsageError
from vggbatch.metrics.sets import label_sets
from vggbatch.models.catalog import synset


@pytest.fixture
def csv(tmp_path: Path, run) -> Path:
    path = tmp_path / "my labels.csv"
    rows = [f"{i.rsplit('/')[-1]},{c}" for i, c in zip(run.ids, run.labels, strict=True) if c]
    path.write_text("\n".join(["file,class_index", *rows]))
    return path


def sets(run, *specs):
    return label_sets(specs, run.folder, run.class_lines)


def test_validation_images_are_comparable_with_the_published(run, csv):
    for spec in ("embedded", str(csv)):
        [found] = sets(run, spec)
        assert (found.name, found.benchmark) == ("ILSVRC2012", "ILSVRC2012")
    [found] = sets(run, f"mine={csv}")
    assert (found.name, found.benchmark) == ("mine", "ILSVRC2012")
    assert found.labels(run.table["image_id"].chunk(0), None)[0].as_py() == (run.labels[0] or None)


def test_other_images_are_not(tmp_path: Path, make_run, csv):
    other = make_run(tmp_path / "other", 20)
    other.ids = [f"n00000001/{i}.jpg" for i in range(20)]
    other.write()
    found = sets(other, "embedded", str(csv))
    assert [s.benchmark for s in found] == [None, None]
    assert [s.name for s in found] == ["embedded", "my labels"]


def test_subsets(run, tmp_path: Path, csv):
    [known] = label_sets(["embedded@imagenet-r"], run.folder, synset())
    assert known.name == "imagenet-r"
    assert len(known.classes) == 200
    assert known.classes[:3] == (1, 2, 4)  # goldfish, great white shark, hammerhead
    assert known.benchmark is None
    for number, text in enumerate(["n00000003\nn00000001\n", "1\n3\n", "1, 3"]):
        path = tmp_path / f"some-{number}.txt"
        path.write_text(text)
        [own] = sets(run, f"{csv}@{path}") if number == 1 else sets(run, f"x={csv}@{path}")
        assert own.classes == (1, 3)
    (tmp_path / "wrong.txt").write_text("n00000099")
    with pytest.raises(UsageError, match="'n00000099' is no class"):
        sets(run, f"embedded@{tmp_path}/wrong.txt")
    with pytest.raises(UsageError, match="neither imagenet-a nor imagenet-r nor a file"):
        sets(run, "embedded@imagenet-x")


def test_an_at_sign_in_a_path_is_no_subset(run, csv, tmp_path: Path):
    odd = tmp_path / "me@home.csv"
    odd.write_bytes(csv.read_bytes())
    [found] = sets(run, str(odd))
    assert found.classes is None
    with pytest.raises(UsageError, match="no such file"):
        sets(run, str(tmp_path / "gone@home.csv"))
