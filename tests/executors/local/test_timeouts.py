"""When a worker counts as stuck; times are made up."""

import time
from types import SimpleNamespace

import pytest

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.executors.local.seats import Care
from vggbatch.executors.local.timeouts import OPEN_TIMEOUT_S, SILENCE_TIMEOUT_S, Timeouts
from vggbatch.sources.base import Shard

CHUNK, SHARD = ChunkKey(0, 0, 3, 9, 100), ChunkKey(0, 0, -1, -1, -1)
SIZE = 138_000_000_000
"""Of ILSVRC2012_img_train.tar."""


@pytest.fixture
def timeouts():
    shard = Shard("tar", "train.tar", "train.tar", SIZE, "", None)
    return Timeouts(SimpleNamespace(chunk_work=32.0, chunk_size=32, shards=[(0, 0, shard)]))


def verdict(timeouts, heard=0.0, opening=None, items=()):
    now = time.monotonic()
    items = [(now - age, key, care) for age, key, care in items]
    opening = None if opening is None else now - opening
    return timeouts.verdict(now - heard, opening, items, classifiers=2)


def test_a_worker_that_says_nothing_is_stuck_whatever_it_has(timeouts):
    assert verdict(timeouts, heard=SILENCE_TIMEOUT_S - 1) is None
    assert verdict(timeouts, heard=SILENCE_TIMEOUT_S + 1) == "did not answer for 90 s"


def test_one_that_opens_the_networks_has_longer(timeouts):
    assert verdict(timeouts, heard=SILENCE_TIMEOUT_S + 1, opening=SILENCE_TIMEOUT_S + 1) is None
    late = verdict(timeouts, opening=OPEN_TIMEOUT_S + 1)
    assert late == "did not open the network within 600 s"


@pytest.mark.parametrize(
    ("key", "care", "items", "limit"),
    [
        (CHUNK, Care.USUAL, 1, 120 + 2 * 3 * 32),
        # beside five others at two classifiers it has to wait for its turn
        (CHUNK, Care.USUAL, 6, 120 + 4 * 3 * 32),
        (CHUNK, Care.ISOLATED, 1, 120 + 2 * 3 * 32 + 150 * 32),
        (CHUNK, Care.ALONE, 1, 120 + 2 * 3 * 32 + 150 * 32),
        (SHARD, Care.USUAL, 1, 600 + SIZE / 5e6),
    ],
)
def test_the_time_for_something_grows_with_what_it_costs(timeouts, key, care, items, limit):
    others = [(0.0, ChunkKey(0, 1, n, 9, 100), Care.USUAL) for n in range(items - 1)]
    assert verdict(timeouts, items=[(limit - 1, key, care), *others]) is None
    stuck = verdict(timeouts, items=[(limit + 1, key, care), *others])
    assert stuck == f"did not end within {limit:.0f} s"


def test_a_driver_that_stood_still_heard_no_one(timeouts, monkeypatch):
    assert timeouts.standstill() == 0
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 600)
    assert timeouts.due
    assert timeouts.standstill() == pytest.approx(600, abs=5)
    assert timeouts.standstill() == 0
    assert not timeouts.due
