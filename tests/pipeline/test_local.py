"""The stages in threads against the stages one after the other."""

import threading
from dataclasses import replace

import pytest

from tests.images import write_folder
from tests.outputs import owned
from vggbatch import exact_int8
from vggbatch.classifier import core_locks, cores
from vggbatch.config import load_config
from vggbatch.pipeline.chunk import ChunkKey
from vggbatch.pipeline.job import network_opener, prepare_job
from vggbatch.pipeline.local import Work, Working
from vggbatch.pipeline.pipeline import Classify, Scoring, decode, guarded, index, write
from vggbatch.pipeline.probe import result_versions
from vggbatch.pipeline.progress import Progress
from vggbatch.pipeline.resume import open_output

COUNT, CHUNK = 70, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    (path / "00007x.jpg").write_bytes(b"no image")
    return path


def make(net, folder, path, *, classifiers=2, open_networks=None, done=()):
    values = {"input": (str(folder),), "model": str(net), "output": str(path)}
    settings = [f"chunk_size={CHUNK}"]
    job = prepare_job(load_config(options=values, settings=settings, environ={}))
    output = owned(path)
    numbered, _ = open_output(output, job)
    scoring = Scoring(
        output=output,
        chunk_size=CHUNK,
        recipes=job.recipes,
        protocol=job.protocol,
        decode=job.config.decode,
        classes=job.model.classes,
        open_networks=open_networks or network_opener(job),
        threads=1,
        micro_batch=None,
        pin=False,
        features=None,
        run_id="test",
        versions=result_versions(),
    )
    return Work(scoring, Progress().to_score(numbered, done), classifiers, gives_way=False)


def keys(receipts):
    return [ChunkKey.of(receipt) for receipt in receipts if "ready" not in receipt]


def staged(output):
    root = output.folder
    return {name: root.read_bytes(name) for _, _, name in output.parts(0)}


def rows_of(output):
    import io

    import pyarrow.parquet as pq

    return {
        # the plan has an ID of its own in each output
        name.partition("staging/")[2]: pq.read_table(io.BytesIO(data)).to_pylist()
        for name, data in staged(output).items()
    }


def test_gives_what_the_stages_give_one_after_the_other(net, folder, tmp_path):
    work = make(net, folder, tmp_path / "threads", classifiers=3)
    receipts = []
    Working(work, receipts.append).run()
    plain = make(net, folder, tmp_path / "plain")
    classify = Classify(plain.scoring)
    for table in index(plain.shards, plain.scoring):
        decoded = guarded(table, stage=decode, scoring=plain.scoring)
        guarded(classify(decoded), stage=write, scoring=plain.scoring)
    assert rows_of(work.scoring.output) == rows_of(plain.scoring.output)
    assert receipts[0] == {"ready": True}
    assert sorted(map(str, keys(receipts))) == sorted(
        str(key) for key, _, _ in plain.scoring.output.parts(0)
    )
    assert sum(len(rows) for rows in rows_of(work.scoring.output).values()) == COUNT + 1


@pytest.mark.parametrize(("threads", "opened"), [(1, 1), (2, 3)])
def test_opens_a_network_once_where_its_runs_stay_in_their_threads(
    net, folder, tmp_path, monkeypatch, threads, opened
):
    """Networks whose weights onnxruntime copies would be in memory once for each classifier."""
    sessions = []
    plain = exact_int8.InferenceSession
    monkeypatch.setattr(
        exact_int8, "InferenceSession", lambda *args, **options: open_one(*args, **options)
    )

    def open_one(*args, **options):
        sessions.append(plain(*args, **options))
        return sessions[-1]

    work = make(net, folder, tmp_path / "out", classifiers=3)
    work = replace(work, scoring=replace(work.scoring, threads=threads))
    receipts = []
    Working(work, receipts.append).run()
    assert len(sessions) == opened
    assert len(keys(receipts)) == 18


def test_leaves_out_what_is_done(net, folder, tmp_path):
    done = [ChunkKey(0, 0, chunk, 18, 70) for chunk in range(1, 18)]
    receipts = []
    Working(make(net, folder, tmp_path / "out", done=done), receipts.append).run()
    assert [key.chunk for key in keys(receipts)] == [0]


@pytest.mark.parametrize("after", [0, 1, 6])
@pytest.mark.parametrize("count", [0, 3, 1000])
def test_commits_exactly_what_it_said_it_would(net, folder, tmp_path, after, count):
    """`reserve` comes in the middle; what is committed then or before is all there is."""
    receipts, reserved, committed_before = [], [], []
    lock = threading.Lock()

    def send(message):
        with lock:
            receipts.append(message)
            if len(receipts) == after + 1 and not reserved:
                committed_before.extend(keys(receipts))
                thread = threading.Thread(target=lambda: reserved.append(working.reserve(count)))
                thread.start()
                thread.join()

    working = Working(make(net, folder, tmp_path / "out"), send)
    working.run()
    promised = reserved[0]
    assert {*promised, *committed_before} == set(keys(receipts))
    assert len(keys(receipts)) == len(set(keys(receipts)))
    if count == 1000 and after:
        assert len(keys(receipts)) == 18
    elif count < 1000:
        # two at classifiers, up to two decoded, one on the way to the queue
        assert len(promised) <= count + 6


def test_tells_of_a_model_that_cannot_be_opened(net, folder, tmp_path):
    def missing():
        raise FileNotFoundError("no model")

    receipts = []
    Working(make(net, folder, tmp_path / "out", open_networks=missing), receipts.append).run()
    assert len(receipts) == 18
    assert all("no model" in receipt["failure"] for receipt in receipts)


@pytest.mark.skipif(not cores.may_pin(), reason="a CPU quota shares this machine's cores")
def test_its_cores_are_its_own_until_ray_wants_them(net, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(core_locks, "_base", lambda: tmp_path)
    mask = cores.cpu_mask()
    seen = []

    def claimable():
        locks = [core_locks.lock_core(cpu) for cpu in mask]
        for lock in filter(None, locks):
            lock.close()
        return sum(lock is not None for lock in locks)

    def send(message):
        if "ready" not in message and not seen:
            seen.append(claimable())
            working.reserve(0)
            seen.append(claimable())

    work = make(net, folder, tmp_path / "out", classifiers=1)
    working = Working(replace(work, scoring=replace(work.scoring, pin=True)), send)
    working.run()
    assert seen == [len(mask) - 1, len(mask)]
