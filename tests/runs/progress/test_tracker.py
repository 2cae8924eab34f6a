import time

import pytest

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.output.image_total import Total
from vggbatch.output.progress import Progress
from vggbatch.runs.progress.tracker import RunTracker
from vggbatch.sources import Shard


def commit(tracker, chunk, rows=4, *, group=0, shard=0, chunks=3, **stats):
    key = ChunkKey(group, shard, chunk, chunks, rows * chunks)
    return tracker.commit(key, Stats(rows=rows, **stats))


def total(images, progress=None):
    shard = Shard("parquet", "/a", "a", 1, "v", images=images)
    return Total([(0, 0, shard)], progress or Progress())


def test_counts_every_chunk_once():
    tracker = RunTracker(Progress(), total(12))
    assert commit(tracker, 0, errors={"corrupt": 1})
    assert commit(tracker, 1)
    assert not commit(tracker, 0, errors={"corrupt": 1})
    assert (tracker.chunks, tracker.rows, tracker.errors) == (2, 8, 1)
    snapshot = tracker.snapshot()
    assert (snapshot.rows, snapshot.total, snapshot.errors) == (8, 12, 1)


def test_what_earlier_runs_committed_is_safe_but_not_of_this_run():
    progress = Progress()
    progress.close(0, [0], {"rows": 100, "files": []})
    progress.commit(ChunkKey(1, 1, 0, 2, 14), 7)
    tracker = RunTracker(progress, total(100, progress))
    assert tracker.rows == 0
    assert tracker.rate() == 0
    assert not commit(tracker, 0, group=0), "its group is complete"
    assert not commit(tracker, 0, group=1, shard=1)
    assert commit(tracker, 1, rows=7, group=1, shard=1, chunks=2)
    assert (tracker.snapshot().rows, tracker.rows) == (114, 7)


def test_an_estimate_gives_way_to_the_count_once_the_shard_is_open():
    tracker = RunTracker(Progress(), Total([(0, 0, Shard("tar", "/a", "a", 1, "v"))], Progress()))
    assert (tracker.snapshot().total, tracker.snapshot().exact) == (1, False)
    commit(tracker, 0, rows=50)
    assert (tracker.snapshot().total, tracker.snapshot().exact) == (150, True)


def test_the_rate_ends_with_the_last_chunk(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    tracker = RunTracker(Progress(), total(100))
    clock[0] = 110.0
    tracker.start()
    clock[0] = 112.0
    commit(tracker, 0, rows=10)
    clock[0] = 114.0
    commit(tracker, 1, rows=30)
    clock[0] = 200.0
    assert tracker.rate() == pytest.approx(10.0)
    assert tracker.snapshot().images_per_second == pytest.approx(10.0)


def test_time_spent_on_writing_is_kept_by_group():
    tracker = RunTracker(Progress(), total(100))
    commit(tracker, 0, write_seconds=0.5)
    commit(tracker, 1, write_seconds=0.25)
    commit(tracker, 1, write_seconds=9.0)
    commit(tracker, 0, group=1, shard=1, write_seconds=2.0)
    assert dict(tracker.write_seconds) == {0: 0.75, 1: 2.0}
    assert tracker.stats.write_seconds == 2.75
