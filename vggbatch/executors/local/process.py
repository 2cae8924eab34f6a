"""A worker process as the driver has it: its start, its end, and the messages to and from it.

Imports next to nothing, so that the first worker can start before anything else is imported.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from multiprocessing import Pipe
from typing import IO, Any

from vggbatch import process

_MODULE = "vggbatch.executors.local.worker"
_ENDING = 5.0
"""Seconds that a worker which says nothing more has to end by itself."""

Events = queue.SimpleQueue[tuple["WorkerProcess", Any]]
"""A worker and what it says; None once it is gone."""


class WorkerProcess:
    """A worker, which runs from the beginning of this object's life to the end of its block.

    Two threads of the driver read from and write to it, so that a worker which is stopped holds
    up no one. Nothing here raises when it dies: its end is an event.

    Args:
        events: takes what it says.
    """

    def __init__(self, events: Events | None = None) -> None:
        self.events: Events = events if events is not None else queue.SimpleQueue()
        self.heard = time.monotonic()
        """When it last said something."""
        self._verdict: str | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                process.python(_MODULE, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                env=process.environment(),
            )
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="local worker", daemon=True)
        self._writer.start()
        threading.Thread(target=self._read, name="local worker", daemon=True).start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._outgoing.put(None)
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send a message; it may not be read any more."""
        self._outgoing.put(message)

    def kill(self, verdict: str) -> None:
        """End it, for a reason that `how_it_ended` is to give."""
        self._verdict = verdict
        self._process.kill()

    def how_it_ended(self) -> str:
        """Why it is gone, once it is: the end of a sentence that begins with the process."""
        status = self._process.wait()
        if self._verdict is not None:
            return self._verdict
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
            return f"was ended by signal {-status}"
        return f"ended with status {status}{self._last_words()}"

    def _last_words(self) -> str:
        """The last line that it wrote before it was ready, in brackets."""
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
            lines = self._errors.read().decode(errors="replace").split("\n")
            words = [line.strip() for line in lines if line.strip()]
            return f" ({words[-1][:300]})" if words else ""
        return ""

    def _read(self) -> None:
        with contextlib.suppress(Exception):  # whatever it is, nothing more can be understood
            while True:
                message = self._pipe.recv()
                self.heard = time.monotonic()
                self.events.put((self, message))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)  # its end of the pipe is closed before it is gone
        self._process.kill()
        self._process.wait()
        self._outgoing.put(None)
        self._writer.join(_ENDING)  # a pipe that is closed under it would be an error of its own
        self._pipe.close()
        self.events.put((self, None))

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._pipe.send(message)
