"""The groups whose chunks are all committed become predictions files, beside the scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

from vggbatch.output.layout import Output
from vggbatch.output.writer import compact
from vggbatch.runs.progress.tracker import RunTracker

_LEAVE_S = 30.0
"""Seconds for which leaving waits for what is being written."""

Submit = Callable[..., Future[Any]]
"""Calls a function with arguments somewhere else."""


class Compactions:
    """The compactions of one run, from `with` to its end, which waits for those that have begun.

    Args:
        output: the run's output.
        groups: group number -> numbers of its shards.
        rows_per_file: about how many rows a predictions file gets.
        tracker: what is committed; a group is closed in it when its files are written.
        submit: calls `compact` where it does not keep the driver from its work.
    """

    def __init__(
        self,
        output: Output,
        groups: dict[int, list[int]],
        rows_per_file: int,
        tracker: RunTracker,
        submit: Submit,
    ) -> None:
        self._output = output
        self._groups = groups
        self._rows_per_file = rows_per_file
        self._tracker = tracker
        self._submit = submit
        self._running: dict[Future[Any], int] = {}

    def __enter__(self) -> Compactions:
        return self

    def __exit__(self, *exception: object) -> None:
        for future in self._running:
            future.cancel()
        wait(self._running, _LEAVE_S)

    def start_if_complete(self, group: int) -> None:
        """Begin with a group, if all of its chunks are committed and it is not closed."""
        progress, shards = self._tracker.progress, self._groups[group]
        if group in progress.groups or not all(map(progress.shard_complete, shards)):
            return
        seconds = self._tracker.write_seconds.pop(group, 0.0)
        future = self._submit(compact, self._output, group, shards, self._rows_per_file, seconds)
        self._running[future] = group

    @property
    def running(self) -> bool:
        """Whether any is not closed yet."""
        return bool(self._running)

    def closed(self, seconds: float = 0.0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Close the groups whose files are written.

        Args:
            seconds: how long to wait for the first.

        Yields:
            Number and marker of each.

        Raises:
            Exception: what `compact` raised.
        """
        for future in wait(self._running, seconds, "FIRST_COMPLETED").done:
            group = self._running.pop(future)
            marker = future.result()
            self._tracker.progress.close(group, self._groups[group], marker)
            yield group, marker
