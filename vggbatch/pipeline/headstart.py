"""A head start: chunks are scored in one process on this machine while Ray starts, or instead.

Ray takes seconds to start and as long again until its first classifier has a chunk; a process with
the same stages in threads has its first rows by then, and a short run is over. The child is this
module run as a program, so that an image that kills it does not take the driver along, and so that
its imports run while the driver still checks the job.

The driver writes a pickled `Work`, whose networks the child opens; another once the checks have
passed, with what to score, before which nothing of the input is read; and later at most one line,
`reserve N`: Ray's classifiers are about to start, do N chunks more and end. The child writes lines
of JSON: `ready` once a classifier is, then receipts, and in answer to `reserve` the names of all
chunks that it is still going to commit, which Ray's plan leaves out. A child that dies, or is
killed with its driver, leaves what any killed task leaves: chunks that are committed, and chunks
that are not.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple
from typing import IO, TYPE_CHECKING, Any

from vggbatch import process
from vggbatch.config import ComputeOptions

if TYPE_CHECKING:
    from vggbatch.pipeline.chunk import ChunkKey
    from vggbatch.pipeline.local import Work

READY_PATIENCE = 20.0
"""Seconds that a short run waits for the first classifier before it starts Ray all the same."""
_LEAST = 0.5
"""Seconds of work that a rate is judged from, at least."""
_UNTIL_CLASSIFIERS = 5.0
"""Seconds from a running Ray to the first chunk at a classifier (measured: 4.3)."""
_ANSWER_PATIENCE = 10.0
"""Seconds without a word until an answer to `reserve` is waited for no longer."""
_NICENESS = 15
"""Of the child, as of Ray's workers."""
_SILENCE = 120.0
_SECONDS_A_CROP = 3
"""Seconds without a word after which a child is ended; a slow core takes one for a VGG in fp32."""


def wanted(options: ComputeOptions) -> bool:
    """Whether a run has yet to start Ray or to join it, and may be on one of its nodes."""
    ray = sys.modules.get("ray")
    return ray is None or not ray.is_initialized()


class HeadStart:
    """The driver's side: a child process from `with` to its end.

    Nothing in it raises when the child dies: its chunks are then left for Ray.
    """

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            process.python(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process.environment(),
        )
        # each with the time at which it came: the driver may look later
        self._messages: queue.SimpleQueue[tuple[float, dict[str, Any] | None]]
        self._messages = queue.SimpleQueue()
        self._receipts: list[dict[str, Any]] = []
        self._reserved: list[ChunkKey] | None = None
        self._asked: float | None = None
        self._ready: float | None = None
        self._begun = 0.0
        self._classifiers = 0
        self._heard = 0.0
        self._patience = _SILENCE
        self._rows = 0
        self._in_work = 0
        self._at_least = 0
        self.ended = True

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def __enter__(self) -> HeadStart:
        return self

    def __exit__(self, *exception: object) -> None:
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def prepare(self, work: Work) -> None:
        """Open the networks for such work; nothing of the input is read before `begin`."""
        if self._classifiers:
            return
        self._classifiers = work.classifiers
        self._tell(pickle.dumps(work))
        threading.Thread(target=self._listen, name="head start", daemon=True).start()

    def begin(self, work: Work, chunk_work: float) -> None:
        """Start scoring, with as many classifiers as were prepared.

        Args:
            work: what to do.
            chunk_work: what a chunk costs, in single crops of one network.
        """
        self.prepare(work)
        self._heard = self._begun = time.monotonic()
        self._patience = _SILENCE + _SECONDS_A_CROP * chunk_work
        self._in_work = self._classifiers * work.scoring.chunk_size
        # Ray that runs already has no use for these cores before all of its workers are up
        self._at_least = 0 if work.gives_way else self._classifiers
        self.ended = False
        self._tell(pickle.dumps(work))

    def receipts(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """The receipts that have come since the last call, those of failed chunks left out.

        Args:
            seconds: how long to wait for the first.
        """
        deadline = time.monotonic() + seconds
        while not self.ended:
            wait = 0.0 if self._receipts else max(0.0, deadline - time.monotonic())
            if not self._take(wait):
                break
        found, self._receipts = self._receipts, []
        return found

    def seconds_left(self, images: int) -> float:
        """How long this process would take for so many images alone; at least, where few are done.

        Returns:
            0 while nothing can be said, infinity where the child is late, counted from the first
            call: what went before may have been the model's preparation.
        """
        now = time.monotonic()
        if self._ready is None:
            self._asked = self._asked or now
            return math.inf if now - self._asked > READY_PATIENCE else 0.0
        elapsed = now - max(self._ready, self._begun)
        if elapsed < _LEAST:
            return 0.0
        return images * elapsed / max(self._rows, self._in_work)

    def reserve(self, chunk_size: int) -> list[ChunkKey]:
        """Let the child end about when Ray's classifiers are ready.

        Returns:
            The chunks that it has in work or is still going to do.
        """
        while not self.ended and self._take(0.0):
            pass  # what came while Ray started
        if self.ended:
            return []
        chunks = self._at_least
        if self._ready and self._rows:
            rate = self._rows / (time.monotonic() - max(self._ready, self._begun))
            chunks = max(chunks, math.ceil(_UNTIL_CLASSIFIERS * rate / chunk_size))
        self._tell(f"reserve {chunks}\n".encode())
        while self._reserved is None and not self.ended:
            if not self._take(_ANSWER_PATIENCE):
                self._child.kill()  # nobody knows what it would commit: then it had better not
        return self._reserved or []

    def heard(self) -> None:
        """Count the time without a word from now on."""
        self._heard = time.monotonic()

    def end_if_silent(self) -> None:
        """End a child that has committed nothing for long: an image may hang its decoder."""
        if time.monotonic() - self._heard > self._patience:
            self._child.kill()

    def _tell(self, what: bytes) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # that it died is heard
            self._child.stdin.write(what)
            self._child.stdin.flush()

    def _take(self, seconds: float) -> bool:
        """Take in the next message; whether one came within so many seconds."""
        try:
            self._heard, message = self._messages.get(timeout=seconds)
        except queue.Empty:
            return False
        if message is None:
            self.ended = True
        elif "ready" in message:
            self._ready = self._heard
        elif "reserved" in message:
            from vggbatch.pipeline.chunk import ChunkKey

            self._reserved = [ChunkKey(*names) for names in message["reserved"]]
        elif not message["failure"]:
            self._rows += json.loads(message["stats"])["rows"]
            self._receipts.append(message)
        return True

    def _listen(self) -> None:
        assert self._child.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._child.stdout:
                self._messages.put((time.monotonic(), json.loads(line)))
        self._messages.put((time.monotonic(), None))


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """The child: works until it is done, or its driver is gone."""
    # these take half a second, before there is work
    from vggbatch.pipeline.local import Working
    from vggbatch.pipeline.pandas_later import postpone_pandas

    postpone_pandas()

    try:
        work: Work = pickle.load(source)
    except EOFError:
        return
    os.nice(_NICENESS)  # of the threads that this one starts
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            sink.write(json.dumps(message).encode() + b"\n")
            sink.flush()

    def listen() -> None:
        with contextlib.suppress(EOFError):
            told: Work = pickle.load(source)
            begun.put(told)
            for line in source:
                keys = working.reserve(int(line.split()[1]))
                if told.gives_way:
                    _step_back()
                send({"reserved": [astuple(key) for key in keys]})
        os._exit(1)  # the driver is gone

    working = Working(work, send)
    begun: queue.SimpleQueue[Work] = queue.SimpleQueue()
    threading.Thread(target=listen, daemon=True).start()
    working.run(begun.get)
    # neither a thread that reads nor an interpreter that tidies up is waited for
    os._exit(0)


def _step_back() -> None:
    """Let Ray's workers go first."""
    for thread in _threads():
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, 19)


def _threads() -> Iterator[int]:
    """This process's threads, each of which has a niceness of its own on Linux."""
    with contextlib.suppress(OSError):
        yield from map(int, os.listdir("/proc/self/task"))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _serve(sys.stdin.buffer, answers)
