"""The results of a pass, taken from Ray Data by a thread, so that waiting for them has an end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pyarrow as pa
import ray.data

from vggbatch.chunks.result import ChunkResult
from vggbatch.executors.ray_data.internals import stop_pass

_POLL_S = 1.0
"""Seconds for which a result is waited for at a time."""
_STOP_S = 15.0
"""Seconds for Ray Data to end a pass that is given up; it takes about one."""


class PassResults:
    """Executes a plan from `with` to its end, before which it may be left.

    Args:
        plan: gives ChunkResults as rows.
    """

    def __init__(self, plan: ray.data.Dataset) -> None:
        self._plan = plan
        self._taken: queue.SimpleQueue[pa.Table | Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._take, name="results", daemon=True)

    def __enter__(self) -> PassResults:
        stop_pass(False)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread.is_alive():
            stop_pass(True)
            self._thread.join(_STOP_S)

    def __iter__(self) -> Iterator[ChunkResult | None]:
        """The results; None where none has come for a second. Raises what Ray Data raises."""
        while True:
            try:
                taken = self._taken.get(timeout=_POLL_S)
            except queue.Empty:
                yield None
                continue
            if taken is None:
                return
            if isinstance(taken, Exception):
                raise taken
            yield from ChunkResult.of_table(taken)

    def _take(self) -> None:
        try:
            for table in self._plan.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                assert isinstance(table, pa.Table), "asked for as batch_format"
                self._taken.put(table)
        except Exception as error:
            self._taken.put(error)
        else:
            self._taken.put(None)
