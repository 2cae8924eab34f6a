"""Files with other times: what they hold decides whether a run continues."""

import json
import os

import pyarrow.parquet as pq
import pytest

from tests.sources.samples import tar_bytes
from tests.support.images import cut, jpeg, write_folder
from vggbatch import score
from vggbatch.errors import JobFailed, UsageError
from vggbatch.runs import resume

pytestmark = pytest.mark.usefixtures("scored_here")

COUNT = 20


@pytest.fixture(params=["files", pytest.param("tar", marks=pytest.mark.slow)])
def images(request, tmp_path):
    """Images as files or in a shard; the path, and the file that a change goes into."""
    resume._compared.clear()
    names = write_folder(tmp_path / "images", COUNT)
    if request.param == "files":
        return tmp_path / "images", tmp_path / "images" / names[3]
    contents = {name: (tmp_path / "images" / name).read_bytes() for name in names}
    (tmp_path / "a.tar").write_bytes(tar_bytes(contents))
    return tmp_path / "a.tar", tmp_path / "a.tar"


def touch(path):
    os.utime(path, (10**9, 10**9))


def replace_byte(path):
    """Another content of the same size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def run(images, net, output):
    return score(images[0], model=net, output=output, chunk_size=4)


def rows(output):
    files = sorted((output / "predictions").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_touched_files_of_a_finished_run_change_nothing(images, net, tmp_path):
    first = run(images, net, tmp_path / "out")
    touch(images[1])
    again = run(images, net, tmp_path / "out")
    assert again.result.complete_before
    assert again.record == first.record


def test_a_run_goes_on_with_touched_files(images, net, tmp_path, monkeypatch):
    expected = tmp_path / "whole"
    run(images, net, expected)
    stop_after(monkeypatch, 2)
    with pytest.raises(JobFailed):
        run(images, net, tmp_path / "out")
    monkeypatch.undo()
    for part in (tmp_path / "out/_vggbatch").glob("*/staging/*/*.000004.*.parquet"):
        part.unlink()
    touch(images[1])
    done = run(images, net, tmp_path / "out")
    assert 0 < done.result.scored_now <= COUNT
    assert rows(tmp_path / "out") == rows(expected)
    plan = json.loads((tmp_path / "out/_vggbatch/plan.json").read_text())
    # recorded with its new times, so that the next run has nothing to compare
    monkeypatch.setattr(resume.content_check, "modified", None)
    assert run(images, net, tmp_path / "out").result.complete_before
    assert plan["id"] == done.record["plan"]


def test_other_bytes_are_another_input(images, net, tmp_path):
    run(images, net, tmp_path / "out")
    replace_byte(images[1])
    touch(images[1])
    with pytest.raises(UsageError, match="files were modified"):
        run(images, net, tmp_path / "out")


def test_other_sizes_are_told_as_before(images, net, tmp_path):
    run(images, net, tmp_path / "out")
    images[1].write_bytes(images[1].read_bytes() + jpeg(cut(1)))
    with pytest.raises(UsageError, match=r"the input changed: 1 changed"):
        run(images, net, tmp_path / "out")


def stop_after(monkeypatch, chunks):
    """Let the run fail after so many chunks are committed."""
    import vggbatch.runs.progress.tracker as tally

    commit, seen = tally.RunTracker.commit, []

    def counted(self, *args, **options):
        seen.append(args)
        if len(seen) > chunks:
            raise JobFailed("stopped")
        return commit(self, *args, **options)

    monkeypatch.setattr(tally.RunTracker, "commit", counted)
