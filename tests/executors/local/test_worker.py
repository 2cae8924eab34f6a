"""The stages in the threads of a worker against the stages one after the other."""

import logging
import queue
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from tests.executors import plain
from tests.executors.plain import CHUNK
from tests.support.images import write_folder
from vggbatch import exact_int8
from vggbatch.chunks.chunk import ChunkKey, key_of
from vggbatch.classifier import core_locks, cores
from vggbatch.executors.local.messages import (
    Allow,
    Begin,
    Done,
    Found,
    Index,
    Indexed,
    Open,
    Ready,
    Score,
)
from vggbatch.executors.local.worker import Worker

COUNT = 70
CHUNKS = -(-(COUNT + 1) // CHUNK)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    (path / "00007x.jpg").write_bytes(b"no image")
    return path


class Driven:
    """A worker of this process, driven as the driver does it."""

    def __init__(self, work, classifiers=2, context=None):
        self.said = queue.SimpleQueue()
        self.work = work
        self.worker = Worker(self.said.put)
        self.context = context or work.context(plain.placement_of(work.job))
        self.worker.take(Open(self.context, classifiers, logging.INFO))
        self.worker.take(Begin(self.context))

    def hear(self, kind):
        while True:
            message = self.said.get(timeout=60)
            if isinstance(message, kind):
                return message

    def index(self, done=(), credit=1000):
        self.worker.take(Index(0, self.work.rows(self.work.shards, done), credit))

    def chunks(self, **options):
        self.index(**options)
        found = []
        while isinstance(message := self.hear((Found, Indexed)), Found):
            found.append(message.chunk)
        return found

    def score(self, chunks, isolate=False):
        for chunk in chunks:
            self.worker.take(Score(chunk, isolate))
        return [self.hear(Done).result for _ in chunks]


@pytest.mark.parametrize("isolate", [False, True])
def test_gives_what_the_stages_give_one_after_the_other(net, folder, tmp_path, isolate):
    driven = Driven(plain.work_of(plain.job_of(net, folder, tmp_path / "threads")), 3)
    assert isinstance(driven.hear(Ready), Ready)
    chunks = driven.chunks()[: 3 if isolate else None]
    results = driven.score(chunks, isolate)
    assert {result.key for result in results} == {key_of(chunk) for chunk in chunks}
    other = plain.work_of(plain.job_of(net, folder, tmp_path / "plain"))
    expected = plain.score(other)
    assert len(expected) == CHUNKS
    rows, plainly = plain.staged(driven.work.output), plain.staged(other.output)
    assert rows == (plainly if not isolate else {name: plainly[name] for name in rows})
    assert sum(result.stats.rows for result in results) == sum(map(len, rows.values()))


def test_leaves_out_what_is_done(net, folder, tmp_path):
    driven = Driven(plain.work_of(plain.job_of(net, folder, tmp_path / "out")))
    done = [ChunkKey(0, 0, chunk, CHUNKS, COUNT + 1) for chunk in range(1, CHUNKS)]
    assert [key_of(chunk).chunk for chunk in driven.chunks(done=done)] == [0]


def test_finds_no_more_chunks_than_it_may_send(net, folder, tmp_path):
    driven = Driven(plain.work_of(plain.job_of(net, folder, tmp_path / "out")))
    driven.hear(Ready)
    driven.index(credit=2)
    for _ in range(2):
        driven.hear(Found)
    time.sleep(0.3)
    assert driven.said.empty()
    driven.worker.take(Allow(CHUNKS))
    assert len([driven.hear(Found) for _ in range(CHUNKS - 2)]) == CHUNKS - 2
    assert driven.hear(Indexed).number == 0


@pytest.mark.parametrize(("threads", "opened"), [(1, 1), (2, 3)])
def test_opens_a_network_once_where_its_runs_stay_in_their_threads(
    net, folder, tmp_path, monkeypatch, threads, opened
):
    """Networks whose weights onnxruntime copies would be in memory once for each classifier."""
    sessions = []
    one = exact_int8.InferenceSession

    def open_one(*args, **options):
        sessions.append(one(*args, **options))
        return sessions[-1]

    monkeypatch.setattr(exact_int8, "InferenceSession", open_one)
    settings = (f"compute.threads={threads}", f"compute.num_cpus={3 * threads}")
    job = plain.job_of(net, folder, tmp_path / "out", *settings)
    driven = Driven(plain.work_of(job), classifiers=3)
    assert len(driven.score(driven.chunks())) == CHUNKS
    deadline = time.monotonic() + 30
    while len(sessions) < opened and time.monotonic() < deadline:
        time.sleep(0.05)  # the last classifier may come too late for any chunk
    assert len(sessions) == opened


def test_a_model_that_cannot_be_opened_is_the_reason_of_every_chunk(net, folder, tmp_path):
    def missing():
        raise FileNotFoundError("no model")

    work = plain.work_of(plain.job_of(net, folder, tmp_path / "out"))
    context = replace(work.context(plain.placement_of(work.job)), open_networks=missing)
    driven = Driven(work, context=context)
    results = driven.score(driven.chunks())
    assert len(results) == CHUNKS
    assert all("classify: FileNotFoundError: no model" in result.failure for result in results)


def test_a_shard_that_cannot_be_read_has_failed(net, folder, tmp_path):
    driven = Driven(plain.work_of(plain.job_of(net, folder, tmp_path / "out")))
    shards = driven.work.rows(driven.work.shards)
    place = shards.schema.get_field_index("format")
    strange = shards.set_column(place, "format", pa.array(["strange"]))
    driven.worker.take(Index(0, strange, 10))
    result = driven.hear(Done).result
    assert result.key == ChunkKey(0, 0, -1, -1, -1)
    assert result.failure.startswith("index: no shard format 'strange'")
    assert driven.hear(Indexed).number == 0


@pytest.mark.skipif(not cores.may_pin(), reason="a CPU quota shares this machine's cores")
def test_its_cores_are_its_own(net, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(core_locks, "_base", lambda: tmp_path)
    mask = cores.cpu_mask()
    driven = Driven(
        plain.work_of(plain.job_of(net, folder, tmp_path / "out", "compute.pin=true")),
        classifiers=1,
    )
    driven.score(driven.chunks()[:1])
    locks = [core_locks.lock_core(cpu) for cpu in mask]
    free = sum(lock is not None for lock in locks)
    for lock in filter(None, locks):
        lock.close()
    assert free == len(mask) - 1


def test_a_worker_imports_neither_what_prepares_networks_nor_what_fetches_them():
    heavy = {"onnx", "requests", "filelock", "ray"}
    code = f"import sys, vggbatch.executors.local.worker; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
