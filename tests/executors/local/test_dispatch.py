"""Who gets what, and what becomes of it when a worker dies; without any process."""

import random

import pyarrow as pa
import pytest

from vggbatch.chunks.chunk import KEY, ChunkKey
from vggbatch.executors.local.dispatch import Dispatch
from vggbatch.executors.local.messages import Allow, Index, Score
from vggbatch.executors.local.seats import Care
from vggbatch.sources.base import Shard


def shards_of(count):
    return [(n, 0, Shard("tar", f"{n}.tar", f"{n}.tar", 0, "", None)) for n in range(count)]


def key(shard, chunk, chunks):
    return ChunkKey(0, shard, chunk, chunks, chunks)


def table(key):
    return pa.table({name: [getattr(key, name)] for name in KEY})


class Workers:
    """Workers that take one step at a time, in a random order.

    Args:
        sizes: chunks of each shard.
        classifiers: of each worker.
        lethal: chunks, and shards as `("shard", number)`, that end a worker in the end.
    """

    def __init__(self, sizes, classifiers, lethal=(), seed=0, known=None):
        self.random = random.Random(seed)
        self.sizes = sizes
        self.lethal = set(lethal)
        self.failures = {} if known is None else known
        self.rows = lambda shards, also: (shards[0][0], frozenset(also))
        self.dispatch = Dispatch(shards_of(len(sizes)), self.rows, classifiers, self.failures)
        self.results = {result.key: result.failure for result in self.dispatch.refused}
        self.tasks = [[] for _ in classifiers]
        self.index = [None for _ in classifiers]
        self.most_open = [0 for _ in classifiers]
        self.deaths = 0
        self.done = [0 for _ in classifiers]
        self.most_found = 0

    def run(self):
        for _ in range(10_000):
            for number, message in self.dispatch.give(range(len(self.tasks))):
                self.take(number, message)
                self.most_open[number] = max(self.most_open[number], len(self.tasks[number]))
            if self.dispatch.finished:
                return self.results
            self.step()
        raise AssertionError("it does not end")

    def take(self, number, message):
        if isinstance(message, Score):
            self.tasks[number].append((ChunkKey(*message.chunk.to_pylist()[0].values()), message))
        elif isinstance(message, Allow):
            self.index[number][2] += message.chunks
        else:
            assert isinstance(message, Index)
            shard, also = message.shard
            chunks = [key(shard, chunk, self.sizes[shard]) for chunk in range(self.sizes[shard])]
            left = [chunk for chunk in chunks if chunk not in also and chunk not in self.results]
            self.index[number] = [shard, left, message.credit, False]

    def step(self):
        able = [
            n
            for n in range(len(self.tasks))
            if self.tasks[n] or (self.index[n] and (self.index[n][2] or not self.index[n][1]))
        ]
        assert able, "nothing can continue"
        number = self.random.choice(able)
        index = self.index[number]
        if index and (index[2] or not index[1]) and self.random.random() < 0.5:
            if ("shard", index[0]) in self.lethal and not index[3]:
                self.die(number)
            elif index[1]:
                index[2] -= 1
                index[3] = True
                chunk = index[1].pop(0)
                refused = self.dispatch.found(number, table(chunk))
                if refused is not None:
                    self.results[refused.key] = refused.failure
                self.most_found = max(self.most_found, len(self.dispatch._waiting))
            else:
                self.index[number] = None
                self.dispatch.indexed(number)
        elif self.tasks[number]:
            chunk, _ = self.tasks[number][0]
            if chunk in self.lethal:
                self.die(number)
                return
            self.tasks[number].pop(0)
            assert chunk not in self.results, "twice"
            self.results[chunk] = None
            self.done[number] += 1
            self.dispatch.done(number, chunk)

    def die(self, number):
        self.deaths += 1
        for failed in self.dispatch.lost(number, "was ended by SIGSEGV"):
            self.results[failed.key] = failed.failure
        self.tasks[number], self.index[number] = [], None


def everything(sizes):
    return {key(s, c, chunks) for s, chunks in enumerate(sizes) for c in range(chunks)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [[1], [40], [3, 0, 5], [1] * 30, [100, 1, 1]])
@pytest.mark.parametrize("classifiers", [[1], [2, 2], [8, 8, 7]])
def test_every_chunk_is_done_once(sizes, classifiers, seed):
    workers = Workers(sizes, classifiers, seed=seed)
    assert workers.run() == dict.fromkeys(everything(sizes))
    # memory is flat: what waits here and what is open at a worker does not grow with the shards
    window = sum(2 * count + 2 for count in classifiers)
    assert workers.most_found <= window + len(classifiers)
    assert all(most <= 2 * n + 2 for most, n in zip(workers.most_open, classifiers, strict=True))


def test_one_large_shard_feeds_all_workers():
    workers = Workers([500], [2, 2, 2])
    workers.run()
    assert min(workers.done) > 40


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("classifiers", [[1], [2, 2], [8, 8, 7]])
def test_what_ends_its_worker_alone_has_failed_and_nothing_else(classifiers, seed):
    sizes = [30, 4, 50, 2]
    lethal = {key(0, 7, 30), key(2, 0, 50), key(2, 49, 50), ("shard", 3)}
    workers = Workers(sizes, classifiers, lethal, seed)
    results = workers.run()
    failed = {chunk: failure for chunk, failure in results.items() if failure}
    assert set(failed) == {*lethal - {("shard", 3)}, ChunkKey(0, 3, -1, -1, -1)}
    assert failed[ChunkKey(0, 3, -1, -1, -1)] == (
        "worker: indexing 3.tar alone, its process was ended by SIGSEGV"
    )
    assert failed[key(0, 7, 30)] == (
        "worker: scoring the chunk alone, its process was ended by SIGSEGV"
    )
    assert {chunk for chunk in results if not results[chunk]} == everything(sizes[:3]) - lethal
    # together, isolated, alone; a shard once together and once alone
    assert workers.deaths <= 3 * 3 + 2


def test_what_was_lethal_is_not_tried_again():
    first = Workers([30, 2], [2], {key(0, 7, 30), ("shard", 1)})
    first.run()
    again = Workers([30, 2], [2], first.lethal, known=first.failures)
    results = again.run()
    assert again.deaths == 0
    assert {chunk for chunk in results if results[chunk]} == {
        key(0, 7, 30),
        ChunkKey(0, 1, -1, -1, -1),
    }


def give(dispatch):
    return [message for _, message in dispatch.give([0])]


def test_what_was_open_is_decoded_apart_and_then_alone():
    workers = Workers([4], [1])
    dispatch = workers.dispatch
    (index,) = give(dispatch)
    for chunk in range(4):
        assert index.credit == 4
        dispatch.found(0, table(key(0, chunk, 4)))
    dispatch.indexed(0)
    assert [message.isolate for message in give(dispatch)] == [False] * 4
    assert dispatch.lost(0, "died") == []
    assert [message.isolate for message in give(dispatch)] == [True] * 4
    assert {care for _, _, care in dispatch.open_items(0)} == {Care.ISOLATED}
    assert dispatch.lost(0, "died") == []
    (alone,) = give(dispatch)
    assert alone.isolate
    assert give(dispatch) == [], "nothing beside it"
    assert len(dispatch.lost(0, "died")) == 1
    assert len(give(dispatch)) == 1


def test_a_shard_whose_chunks_came_is_not_to_blame():
    dispatch = Workers([50], [1]).dispatch
    assert len(give(dispatch)) == 1
    dispatch.found(0, table(key(0, 0, 50)))
    assert list(dispatch.open_items(0)) == []
    assert dispatch.lost(0, "died") == []
    again = [message for message in give(dispatch) if isinstance(message, Index)]
    assert again[0].shard == (0, {key(0, 0, 50)}), "without the chunks that came"
