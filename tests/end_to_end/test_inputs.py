"""What is decided of an input before the work reaches the processes that do it."""

import html
import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.images import cut, jpeg
from vggbatch import evaluate, score, write_report
from vggbatch.job.label_check import UNUSED
from vggbatch.sources.classes import identified

LEFT, RIGHT = ([jpeg(cut(number)) for number in range(start, start + 3)] for start in (0, 50))


def rows(output):
    """The rows of an output, in order."""
    files = sorted((output / "predictions").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def scored(path, net, output, **options):
    score(str(path), model=net, output=output, **options)
    return rows(output)


@pytest.fixture(scope="module")
def expected(net, tmp_path_factory):
    """The first classes of LEFT and of RIGHT, scored from files."""
    root = tmp_path_factory.mktemp("expected")
    for name, images in (("left", LEFT), ("right", RIGHT)):
        (root / name).mkdir()
        for number, data in enumerate(images):
            (root / name / f"{number}.jpg").write_bytes(data)
    found = scored(root, net, root / "out")
    classes = [row["top5_index"] for row in found]
    assert len({tuple(five) for five in classes}) == 6
    return {"left": classes[:3], "right": classes[3:]}


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_named_column_of_images_is_scored(side, expected, net, tmp_path):
    pq.write_table(pa.table({"left": LEFT, "right": RIGHT}), tmp_path / "a.parquet")
    found = scored(tmp_path / "a.parquet", net, tmp_path / "out", columns={"bytes": side})
    assert [row["top5_index"] for row in found] == expected[side]


def test_the_named_member_of_a_sample_is_scored(expected, net, tmp_path):
    sides = (("left.jpg", LEFT), ("right.jpg", RIGHT))
    members = [(f"{n}.{key}", images[n]) for n in range(3) for key, images in sides]
    write_tar(tmp_path / "a.tar", members)
    for side in ("right.jpg", "left.jpg"):
        options = {"columns": {"bytes": side}}
        found = scored(tmp_path / "a.tar", net, tmp_path / side, **options)
        assert [row["top5_index"] for row in found] == expected[side.partition(".")[0]]


def test_the_column_of_labels_is_the_one_that_the_check_has_chosen(net, tmp_path):
    """`category` holds classes of the network; by its name alone `label` would be taken."""
    names = identified(["tench", "goldfish", "great white shark"])
    columns = {"image": LEFT, "label": [7, 7, 7], "category": names}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    options = {"labels": ["embedded"], "columns": {"label": "category"}}
    found = scored(tmp_path / "a.parquet", net, tmp_path / "out", **options)
    assert [row["label"] for row in found] == [0, 1, 2]


def test_labels_of_no_image_in_shards_and_assumptions_are_recorded_and_shown(net, tmp_path):
    write_tar(tmp_path / "a.tar", [(f"{number}.jpg", data) for number, data in enumerate(LEFT)])
    table = "file,class\n0.jpg,1\n1.jpg,2\nelse.jpg,3\n7/9.jpg,4\n"
    (tmp_path / "labels.csv").write_text(table)
    out, labels = str(tmp_path / "out"), str(tmp_path / "labels.csv")
    record = evaluate(str(tmp_path / "a.tar"), model=net, output=out, labels=labels).record
    unused = {"what": UNUSED, "count": 2, "examples": ["7/9.jpg", "else.jpg"]}
    assert record["unused_labels"] == [unused]
    assert record["assumptions"]
    write_report(out)
    page = html.unescape((tmp_path / "out" / "report.html").read_text())
    assert "Labels that were not used" in page
    for one in record["assumptions"]:
        assert one["value"] in page
