"""What is no row, from the listing and from inside shards, in run.json and on the report page."""

import json

import pytest

from tests.sources.samples import tar_bytes
from tests.support.images import cut, jpeg, write_folder
from tests.support.runs import complete, job, score
from vggbatch.errors import JobFailed
from vggbatch.report import write_report
from vggbatch.sources.input_warnings import FURTHER, HIDDEN, LEFT_OUT, NO_MEMBERS
from vggbatch.storage.filesystem import Folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("input")
    write_folder(path, 3)
    for name in ("notes.txt", ".hidden"):
        (path / name).write_bytes(b"")
    members = {f"{i}.jpg": jpeg(cut(i)) for i in range(9)} | {f"{i}.cls": b"1" for i in range(9)}
    members |= {"0.seg.png": b"", "._0.jpg": b""}
    (path / "a.tar").write_bytes(tar_bytes(members))
    (path / "b.tar").write_bytes(tar_bytes({}))
    return path


EXPECTED = [
    {"what": HIDDEN, "count": 2, "examples": [".hidden", "a.tar/._0.jpg"]},
    {"what": NO_MEMBERS, "count": 1, "examples": ["b.tar"]},
    {"what": FURTHER, "count": 1, "examples": ["a.tar/0.seg.png"]},
    {"what": LEFT_OUT, "count": 10, "examples": ["a.tar/0.cls", "a.tar/1.cls", "a.tar/2.cls"]},
]


def test_the_counts_are_right_at_once_after_a_resume_and_in_a_repeat(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "once")
    record = complete(asked)
    assert record["counts"]["images"] == 12
    assert record["left_out"] == sorted(EXPECTED, key=lambda kind: kind["what"])

    # a run that stops after its first chunks, and is resumed
    asked = job(net, folder, tmp_path / "twice", "rows_per_file=4")
    wrote = []

    def stop_after_two(snapshot):
        wrote.append(snapshot.rows)
        if len(wrote) == 2:
            raise JobFailed("stopped")

    with pytest.raises(JobFailed, match="stopped"):
        score(asked, stop_after_two)
    assert not (tmp_path / "twice/run.json").exists()
    resumed = complete(asked)
    assert resumed["left_out"] == record["left_out"]
    again = complete(asked)
    assert again["left_out"] == record["left_out"]
    assert json.loads((tmp_path / "twice/run.json").read_text())["left_out"] == record["left_out"]
    write_report(Folder(str(tmp_path / "once")))
    text = (tmp_path / "once/report.html").read_text()
    assert "In the input, and no row" in text
    assert "a.tar/0.seg.png" in text
