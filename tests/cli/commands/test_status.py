"""What `vggbatch status` shows of a run in each state."""

import pytest
from typer.testing import CliRunner

from tests.support.images import write_folder
from tests.support.outputs import owned
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.cli import app
from vggbatch.config import load_config
from vggbatch.job.job import prepare_job
from vggbatch.output.ownership.lease import OutputLease, read_lease
from vggbatch.output.progress import Snapshot
from vggbatch.runs.resume import open_output


@pytest.fixture
def output(net, tmp_path):
    """A run of six images, two of them safe."""
    write_folder(tmp_path / "images", 6)
    options = {"input": (str(tmp_path / "images"),), "output": str(tmp_path / "out")}
    config = load_config(
        options={**options, "model": str(net)}, settings=["chunk_size=2"], environ={}
    )
    made = owned(config.output)
    open_output(made, prepare_job(config))
    made.folder.write_bytes(made.part_name(ChunkKey(0, 0, 1, 3, 6), 2), b"")
    return made.folder


def shown(folder):
    done = CliRunner().invoke(app, ["status", folder.uri])
    assert done.exit_code == 0
    return [line.split(maxsplit=1) for line in done.stdout.splitlines()]


def test_an_interrupted_run_says_what_to_do(output):
    assert shown(output) == [
        ["state", "interrupted"],
        ["images", "2 of 6 (33.3%)"],
        ["errors", "0"],
        ["next", "run the same command again: it does what is left"],
    ]


def test_a_running_one_says_how_fast_until_when_and_where(output):
    with OutputLease(output, interval=0.05) as lease:
        lease.report(Snapshot(2, 6, 1, 0.05, "no progress for 30 s, waiting for free CPUs"))
        while read_lease(output).snapshot is None:
            pass
        lines = dict(shown(output))
    assert lines["state"] == "running"
    assert lines["errors"] == "1"
    assert lines["rate"] == "0.05 images/s"
    assert lines["left"] == "0:01:20"
    assert lines["said"] == "no progress for 30 s, waiting for free CPUs"
    assert lines["by"].startswith("a run on host ")


def test_a_run_at_work_is_watched_until_it_is_not(monkeypatch, capsys):
    from dataclasses import replace

    from vggbatch import api
    from vggbatch.cli.commands import status as command
    from vggbatch.runs.progress.status import Status

    done = Status("complete", 4, 4, True, 0, None, None, None, None)
    states = iter([replace(done, state="running", rows=1), replace(done, state="finishing"), done])
    monkeypatch.setattr(api, "status", lambda output: next(states))
    monkeypatch.setattr(command, "_EVERY_S", 0.0)
    command.status("out", watch=True)
    shown = capsys.readouterr().out
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("state")] == [
        "running",
        "finishing",
        "complete",
    ]
