"""The child process as it is: what it commits, what it leaves, what its death leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crashing import HANG, environment
from tests.images import write_folder
from tests.pipeline.test_local import CHUNK, keys, make
from vggbatch import api
from vggbatch.config import ComputeOptions
from vggbatch.pipeline.headstart import READY_PATIENCE, HeadStart, wanted

COUNT = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    return path


def all_of(head, seconds=120):
    receipts = []
    deadline = time.monotonic() + seconds
    while not head.ended and time.monotonic() < deadline:
        receipts += head.receipts(1.0)
    assert head.ended
    return receipts


def test_does_all_and_ends(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.begin(work, CHUNK)
        receipts = all_of(head)
        assert head.reserve(CHUNK) == []
    assert len(set(keys(receipts))) == len(receipts) == COUNT / CHUNK
    assert sum(json.loads(one["stats"])["rows"] for one in receipts) == COUNT
    assert len(list(work.scoring.output.parts(0))) == COUNT / CHUNK


def test_reads_nothing_before_it_is_told_to_begin(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.prepare(replace(work, shards=work.shards.slice(0, 0)))
        deadline = time.monotonic() + 120
        while head._ready is None and time.monotonic() < deadline:
            head._take(1.0)
        assert head._ready, "the networks are open"
        assert not head._take(1.0)
        assert not list(work.scoring.output.parts(0))
        head.begin(work, CHUNK)
        assert len(all_of(head)) == COUNT / CHUNK


def test_gives_way_as_it_is_told_at_the_beginning_not_before(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.prepare(replace(work, shards=work.shards.slice(0, 0)))
        head.begin(replace(work, gives_way=True), CHUNK)
        head.receipts(120)
        assert os.getpriority(os.PRIO_PROCESS, head.pid) == 15
        head.reserve(CHUNK)
        assert os.getpriority(os.PRIO_PROCESS, head.pid) == 19


def test_ends_with_what_it_reserves(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.begin(work, CHUNK)
        first = head.receipts(120)
        reserved = head.reserve(CHUNK)
        receipts = first + all_of(head)
    assert set(reserved) <= set(keys(receipts))
    committed = {key for key, _, _ in work.scoring.output.parts(0)}
    assert committed == set(keys(receipts))


def test_beside_a_ray_that_runs_it_does_some_chunks_however_early_it_is_told(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.begin(work, CHUNK)
        reserved = head.reserve(CHUNK)
        receipts = all_of(head)
    assert len(reserved) >= work.classifiers
    assert set(reserved) == set(keys(receipts))


def test_a_killed_child_leaves_the_rest(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "out")
    with HeadStart() as head:
        head.begin(work, CHUNK)
        receipts = head.receipts(120)
        os.kill(head.pid, signal.SIGKILL)
        receipts += all_of(head)
        assert head.reserve(CHUNK) == []
    committed = {key for key, _, _ in work.scoring.output.parts(0)}
    assert set(keys(receipts)) <= committed
    assert len(receipts) > 0


def test_a_child_that_an_image_hangs_is_ended(net, tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    names = write_folder(tmp_path / "images", 8)
    (tmp_path / "images" / names[0]).write_bytes(HANG + bytes(500))
    work = make(net, tmp_path / "images", tmp_path / "out")
    with HeadStart() as head:
        head.begin(work, CHUNK)
        receipts = head.receipts(120)
        head.end_if_silent()
        assert not head.ended
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)
        head.end_if_silent()
        monkeypatch.undo()
        assert len(keys(receipts + all_of(head))) == 1


def test_a_child_without_its_driver_ends(tmp_path):
    script = (
        "import os, time\nfrom vggbatch.pipeline.headstart import HeadStart\n"
        "head = HeadStart()\nprint(head.pid, flush=True)\ntime.sleep(60)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = Path("/proc") / driver.stdout.readline().strip()
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 20
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_says_how_long_it_would_take(net, folder, tmp_path, monkeypatch):
    with HeadStart() as head:
        assert head.seconds_left(10**9) == 0
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + READY_PATIENCE + 1)
        assert head.seconds_left(1) == float("inf")
        monkeypatch.undo()
        head.begin(make(net, folder, tmp_path / "out"), CHUNK)
        receipts = all_of(head)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 10)
        assert len(receipts) * CHUNK == COUNT
        # as many again take as long again, which is 10 s and a little now
        assert 10 < head.seconds_left(COUNT) < 40


def test_wanted_where_this_machine_may_be_a_node(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert wanted(ComputeOptions())
    assert wanted(ComputeOptions(address="auto"))


SCORE = """
import os, sys
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.pipeline.headstart import HeadStart
images, net, output, *settings = sys.argv[1:]

def begin(self, work, chunk_work):
    plain(self, work, chunk_work)
    self._receipts = self.receipts(120)
    print(len(self._receipts) > 0, work.gives_way)
    if "compute.ray_after=0" in settings:
        os.kill(self.pid, 9)

plain, HeadStart.begin = HeadStart.begin, begin
options = {"input": (images,), "model": net, "output": output, "chunk_size": 4}
scored = api.score(load_config(options=options, settings=settings, environ={}))
print(scored.result.rows, "ray" in sys.modules, "ray.data" in sys.modules)
"""


def score(folder, net, output, *settings, **environment):
    words = [sys.executable, "-c", SCORE, folder, net, output, *settings]
    environ = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environ |= environment
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, env=environ, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_short_run_needs_no_ray_and_a_longer_one_gives_the_same_files(net, folder, tmp_path):
    """The head start of the longer one is killed after its first chunks."""
    alone = score(folder, net, tmp_path / "short")
    assert alone == ["True", "True", str(COUNT), "False", "False"]
    both = score(folder, net, tmp_path / "long", "compute.ray_after=0")
    assert both == ["True", "True", str(COUNT), "True", "True"]
    short, long = (api.load_predictions(str(tmp_path / name)) for name in ("short", "long"))
    assert short.equals(long)
    names = [path.name for path in sorted((tmp_path / "short/predictions").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "long/predictions").iterdir())]
    runs = {which: api.load_run(str(tmp_path / which)) for which in ("short", "long")}
    for name in names:
        # each run has an ID of its own, which the footers say
        first, second = (
            (tmp_path / which / "predictions" / name)
            .read_bytes()
            .replace(run["run_id"].encode(), b"ID")
            for which, run in runs.items()
        )
        assert first == second
    record = runs["short"]
    assert record["placement"]["actors"] >= 1
    assert record["rates"]["images_this_run"] == COUNT
