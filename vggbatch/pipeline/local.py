"""The stages in the threads of one process, without Ray: decoders in front of classifiers."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vggbatch.classifier.cores import Claim
from vggbatch.pipeline.chunk import ChunkKey, key_of
from vggbatch.pipeline.pipeline import Classify, Scoring, decode, guarded, index, write


@dataclass(frozen=True)
class Work:
    """What to score here, and with how much."""

    scoring: Scoring
    shards: pa.Table
    """Rows of SHARD_SCHEMA and `done`, as `index` takes them."""
    classifiers: int
    """Each with `scoring.threads` threads."""
    gives_way: bool
    """Whether Ray is about to start on these cores, and goes first from `reserve` on."""


class Working:
    """Scores the chunks of some shards, in order.

    Args:
        work: what to do.
        send: called from several threads with receipts, and with `{"ready": True}` once.
    """

    def __init__(self, work: Work, send: Callable[[dict[str, Any]], None]) -> None:
        self.scoring = work.scoring
        self.shards = work.shards
        self.classifiers = work.classifiers
        self.send = send
        self._lock = threading.Lock()
        self._next: Iterator[pa.Table] = iter(())
        """The chunks of the shard at hand."""
        self._open: dict[ChunkKey, None] = {}
        """Chunks that were taken up and are not committed."""
        self._closed = False
        self._indexed = threading.Event()
        """The first shard's chunks are known."""
        self._ready = False
        self._claims: list[Claim] = []
        self._opening = threading.Lock()
        self._first: Classify | None = None
        # decoding runs ahead by so many chunks
        self._decoded: queue.Queue[Future[pa.Table] | None] = queue.Queue(self.classifiers)

    def run(self, wait: Callable[[], Work | None] = lambda: None) -> None:
        """Score all, or what `reserve` has left.

        Args:
            wait: called while the networks are opened, before anything of the input is read; may
                return what to score instead, with as many classifiers.
        """
        cores = self.classifiers * self.scoring.threads
        with (
            ThreadPoolExecutor(cores, "decode") as decoders,
            ThreadPoolExecutor(self.classifiers, "classify") as classifiers,
        ):
            ends = [classifiers.submit(self._classify) for _ in range(self.classifiers)]
            if (work := wait()) is not None:
                self.scoring, self.shards = work.scoring, work.shards
            for table in self._chunks():
                self._decoded.put(decoders.submit(guarded, table, decode, self.scoring))
            for _ in ends:
                self._decoded.put(None)
            for end in ends:
                end.result()

    def reserve(self, count: int) -> list[ChunkKey]:
        """Take up no more than `count` further chunks of the shard at hand.

        Cores that were claimed are given back: Ray's classifiers take them while these still work.

        Returns:
            The names of all chunks that are still going to be committed.
        """
        if count:
            self._indexed.wait()
        with self._lock:
            if not self._closed:
                rest = list(itertools.islice(self._next, count))
                self._open |= dict.fromkeys(map(key_of, rest))
                self._next = iter(rest)
                self._closed = True
                for claim in self._claims:
                    claim.release()
            return list(self._open)

    def _classify(self) -> None:
        classify = self._opened()
        claim = classify.classifier.claim if classify.classifier is not None else None
        with self._lock:
            first = not self._ready and classify.failure is None
            self._ready |= first
            if claim is not None and self._closed:
                claim.release()
            elif claim is not None:
                self._claims.append(claim)
        if first:
            self.send({"ready": True})
        while (future := self._decoded.get()) is not None:
            table = guarded(classify(future.result()), stage=write, scoring=self.scoring)
            self.send(table.to_pylist()[0])
            with self._lock:
                self._open.pop(key_of(table), None)

    def _opened(self) -> Classify:
        """A classifier for this thread; the networks are opened once, where runs do not share."""
        if self.scoring.threads > 1:
            return Classify(self.scoring)
        with self._opening:
            if self._first is not None:
                return self._first.twin()
            self._first = Classify(self.scoring)
            return self._first

    def _chunks(self) -> Iterator[pa.Table]:
        for row in range(self.shards.num_rows):
            found = index(self.shards.slice(row, 1), self.scoring)
            # reads the shard's index, which may take long and so is done without the lock
            first = next(found, None)
            with self._lock:
                if self._closed:
                    return
                self._next = itertools.chain([] if first is None else [first], found)
            self._indexed.set()
            while (table := self._take_up()) is not None:
                yield table

    def _take_up(self) -> pa.Table | None:
        with self._lock:
            table = next(self._next, None)
            if table is not None:
                self._open[key_of(table)] = None
            return table
