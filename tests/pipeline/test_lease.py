import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from vggbatch.errors import JobFailed, UsageError
from vggbatch.pipeline.lease import NAME, Held, read_lease
from vggbatch.pipeline.tally import Snapshot
from vggbatch.storage import Folder

HOLD = """
import sys, time
from vggbatch.pipeline.lease import Held
from vggbatch.storage import Folder
with Held(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path))


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.uri], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def elsewhere(folder, **changes):
    """Make the lease look like that of another machine."""
    lease = replace(read_lease(folder), machine="another", token="other", **changes)
    folder.write_json(NAME, lease.__dict__)


def test_a_second_driver_is_refused_until_the_first_is_dead(folder):
    first = holder(folder)
    try:
        with pytest.raises(UsageError, match=rf"pid {first.pid}\)"), Held(folder):
            pass
    finally:
        first.kill()
        first.wait()
    with Held(folder):
        assert read_lease(folder).pid == os.getpid()
    assert read_lease(folder) is None


def test_a_driver_elsewhere_counts_as_gone_after_its_silence(folder):
    with Held(folder):
        elsewhere(folder)
    started = time.monotonic()
    with Held(folder, interval=0.2, patience=1):
        assert time.monotonic() - started >= 1


def test_a_driver_elsewhere_that_beats_is_alive(folder):
    with Held(folder):
        elsewhere(folder)
    script = (
        "import json, sys, time\n"
        "for beat in range(1, 100):\n"
        "    time.sleep(0.1); data = json.load(open(sys.argv[1])); data['beat'] = beat\n"
        "    json.dump(data, open(sys.argv[1] + '.new', 'w'))\n"
        "    import os; os.replace(sys.argv[1] + '.new', sys.argv[1])\n"
    )
    beating = subprocess.Popen([sys.executable, "-c", script, folder.path(NAME)])
    try:
        with pytest.raises(UsageError, match="is being written by"), Held(folder, patience=5):
            pass
    finally:
        beating.kill()
        beating.wait()


def test_a_holder_that_was_taken_over_stops(folder):
    snapshot = Snapshot(1, 2, 0, 1.0)
    with Held(folder, interval=0.1) as held:
        held.report(snapshot)
        elsewhere(folder)
        time.sleep(0.5)
        with pytest.raises(JobFailed, match="has taken over"):
            held.report(snapshot)
    assert read_lease(folder).token == "other"


def test_a_beat_carries_how_far_the_run_is(folder):
    with Held(folder, interval=0.1) as held:
        held.report(Snapshot(5, 10, 1, 2.5))
        time.sleep(0.5)
        lease = read_lease(folder)
    assert lease.snapshot == Snapshot(5, 10, 1, 2.5)
    assert lease.beat >= 1


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"cannot write to .*file \(Not a directory\)"),
        Held(Folder(str(tmp_path / "file"))),
    ):
        pass
