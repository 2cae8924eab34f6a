"""The program of a worker process: the stages in threads, decoders in front of classifiers.

It does what the driver's messages say (see messages.py) and ends with the driver. An image that
kills it does not take the driver along.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

# what opens networks is imported at once, beside the driver's imports
import vggbatch.job.networks  # noqa: F401
from vggbatch.chunks.chunk import shards_of
from vggbatch.chunks.result import ChunkResult, is_result
from vggbatch.executors.local.messages import (
    Alive,
    Allow,
    Begin,
    Done,
    Found,
    Index,
    Indexed,
    Logged,
    Open,
    Ready,
    Score,
)
from vggbatch.pipeline.stages import Classify, StageContext, capture_failure, decode, index, write
from vggbatch.sources.ahead import Contents, ReadAhead

ALIVE_INTERVAL = 2.0
"""Seconds from one sign of life to the next."""
_AHEAD = 2
"""Chunks of a store that are read beside those that are decoded: of one alone the last bytes come
while nothing else is on its way."""
_NICENESS = 15
"""As that of Ray's workers."""
_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent is gone."""


class Worker:
    """The stages of one process.

    Args:
        send: called from several threads with messages for the driver.
    """

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._context: StageContext | None = None
        self._credit = threading.Semaphore(0)
        self._decoded: queue.SimpleQueue[Future[pa.Table]] = queue.SimpleQueue()
        self._indexer = ThreadPoolExecutor(1, "index")
        self._decoders: ThreadPoolExecutor | None = None
        self._ahead: ReadAhead | None = None
        self._opening = threading.Lock()
        self._first: Classify | None = None

    def take(self, message: Any) -> None:
        """Do what the driver says; the work itself is done by other threads."""
        if isinstance(message, Score):
            assert self._decoders is not None
            context = replace(self._begun, isolate=message.isolate)
            contents = self._read_ahead(message.chunk, context)
            self._decoded.put(self._decoders.submit(self._decode, message.chunk, context, contents))
        elif isinstance(message, Allow):
            self._credit.release(message.chunks)
        elif isinstance(message, Index):
            self._credit = threading.Semaphore(message.credit)
            self._indexer.submit(self._index, message, self._credit)
        elif isinstance(message, Begin):
            self._context = message.context
        elif isinstance(message, Open):
            self._open(message)

    @property
    def _begun(self) -> StageContext:
        assert self._context is not None, "Begin comes before any work"
        return self._context

    def _open(self, message: Open) -> None:
        decoders = message.classifiers * message.context.threads
        self._decoders = ThreadPoolExecutor(decoders, "decode")
        self._ahead = ReadAhead(decoders + _AHEAD)
        for _ in range(message.classifiers):
            threading.Thread(target=self._classify, args=(message.context,), daemon=True).start()

    def _index(self, message: Index, credit: threading.Semaphore) -> None:
        for table in index(message.shard, self._begun):
            if is_result(table):
                self._send(Done(next(ChunkResult.of_table(table))))
                continue
            credit.acquire()
            self._send(Found(message.number, table))
        self._send(Indexed(message.number))

    def _read_ahead(self, chunk: pa.Table, context: StageContext) -> Contents | None:
        """A chunk of a store, whose reading begins now; None: it is read when it is decoded."""
        assert self._ahead is not None
        try:
            [(_, _, shard)] = shards_of(chunk)
            assert shard.members is not None
            return self._ahead.read(shard, shard.members, context.decode.max_bytes)
        except Exception:
            return None  # what is wrong with it is a failure of the stage, which meets it again

    def _decode(
        self, chunk: pa.Table, context: StageContext, contents: Contents | None
    ) -> pa.Table:
        with closing(contents) if contents is not None else nullcontext():
            return capture_failure(chunk, decode, context, contents)

    def _classify(self, context: StageContext) -> None:
        try:
            classify = self._opened(context)
            while True:
                table = classify(self._decoded.get().result())
                table = capture_failure(table, stage=write, context=self._begun)
                self._send(Done(next(ChunkResult.of_table(table))))
        except BaseException:
            os._exit(1)  # without this thread its chunk would never be done

    def _opened(self, context: StageContext) -> Classify:
        """A classifier for this thread; the networks are opened once, where runs do not share."""
        if context.threads > 1:
            classify = Classify(context)
            self._say_ready()
            return classify
        with self._opening:
            if self._first is not None:
                return self._first.share()
            self._first = Classify(context)
            self._say_ready()
            return self._first

    def _say_ready(self) -> None:
        # what native code writes from now on is of no use, and without end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        self._send(Ready())


def _send_log_lines(send: Callable[[Any], None], level: int) -> None:
    """Let the driver have the log lines of this process."""
    logger = logging.getLogger("vggbatch")
    logger.setLevel(level)
    logger.addHandler(_ToDriver(send))


class _ToDriver(QueueHandler):
    """Sends log lines to the driver, which decides where they go."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        super().__init__(send)  # type: ignore[arg-type]
        self._send_message = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send_message(Logged(record))


def _serve(connection: Connection[Any, Any]) -> None:
    """Work until the driver is gone."""
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock:
            connection.send(message)

    def live() -> None:
        while not ended.wait(ALIVE_INTERVAL):
            send(Alive())

    ended = threading.Event()
    threading.Thread(target=live, daemon=True).start()
    os.nice(_NICENESS)  # of the threads that this one starts
    worker = Worker(send)
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Open):
                _send_log_lines(send, message.log_level)
            worker.take(message)
    finally:
        # neither a thread that works nor an interpreter that tidies up is waited for
        os._exit(0)


def _end_with_the_driver() -> None:
    """Let the kernel end this process with its driver, also while it is stopped or hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(descriptor: int) -> None:
    """Work for the driver at the other end of a connection, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends this one
    _end_with_the_driver()
    from vggbatch.executors.pandas_later import postpone_pandas

    postpone_pandas()
    _serve(Connection(descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]))
