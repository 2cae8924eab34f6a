import time
from dataclasses import asdict, replace

import pytest

from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.outputs import owned
from vggbatch import api
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.config import load_config
from vggbatch.errors import UsageError
from vggbatch.job.job import prepare_job
from vggbatch.output.ownership.lease import NAME, OutputLease, read_lease
from vggbatch.output.progress import Snapshot
from vggbatch.runs.finish import finish
from vggbatch.runs.progress import status
from vggbatch.runs.progress.status import read_status
from vggbatch.runs.resume import open_output
from vggbatch.runs.run import run
from vggbatch.storage.filesystem import Folder


@pytest.fixture
def config(net, tmp_path):
    write_folder(tmp_path / "images", 6)
    options = {"input": (str(tmp_path / "images"),), "output": str(tmp_path / "out")}
    return load_config(
        options={**options, "model": str(net)}, settings=["chunk_size=2"], environ={}
    )


def begin(config):
    output = owned(config.output)
    open_output(output, prepare_job(config))
    output.folder.write_bytes(output.part_name(ChunkKey(0, 0, 1, 3, 6), 2), b"")
    return output.folder


def test_an_interrupted_run(config):
    found = read_status(begin(config))
    assert (found.state, found.rows, found.total, found.holder) == ("interrupted", 2, 6, None)


def test_a_running_one_has_a_rate_and_an_end(config):
    folder = begin(config)
    with OutputLease(folder, interval=0.05) as lease:
        lease.report(Snapshot(2, 6, 1, 0.5, "no progress for 30 s, waiting for free CPUs"))
        while read_lease(folder).snapshot is None:
            pass
        found = read_status(folder)
    assert (found.state, found.errors) == ("running", 1)
    assert found.seconds_left == pytest.approx(8)
    assert found.waiting == "no progress for 30 s, waiting for free CPUs"


def test_a_run_whose_loop_does_not_move_is_stalled_and_a_silent_one_interrupted(
    config, monkeypatch
):
    folder = begin(config)
    monkeypatch.setattr(status, "_WATCHED", 0.5)
    with OutputLease(folder):
        lease = read_lease(folder)
        folder.write_json(NAME, asdict(replace(lease, still_for=1000.0)))
        assert read_status(folder).state == "stalled"
        folder.write_json(NAME, asdict(replace(lease, machine="x")))
        assert read_status(folder).state == "interrupted"


def test_a_complete_run(config):
    api.score(config, executor=Here())
    found = read_status(Folder(config.output))
    assert (found.state, found.rows, found.total) == ("complete", 6, 6)


def test_a_run_that_writes_metrics_run_json_and_success_is_finishing(config):
    job = prepare_job(config)
    with run(job, Here()) as result:
        folder = Folder(config.output)
        assert read_status(folder).state == "finishing"
        result.output.fence.write_json("run.json", {})
        assert read_status(folder).state == "finishing"
        result.lease.end_renewals()
        assert read_status(folder).state == "finishing"
        finish(job, result)
        assert read_status(folder).state == "complete"
    assert read_status(folder).state == "complete"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_off_makes_no_living_run_dead_and_no_dead_one_alive(
    config, monkeypatch, hours
):
    folder = begin(config)
    now = time.time() + hours * 3600
    monkeypatch.setattr(time, "time", lambda: now)
    with OutputLease(folder):
        assert read_status(folder).state == "running"
        alive = read_lease(folder)
    folder.write_json(NAME, asdict(replace(alive, started_ticks=1)))
    assert read_status(folder).state == "interrupted"


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="no run"):
        read_status(Folder(str(tmp_path)))
