"""The local executor: worker processes of this machine, which are replaced when they die or hang.

The driver knows which chunks are open at which worker (see dispatch.py). A worker says something
every few seconds; one that does not is stopped or stuck, and one that does but has a chunk for too
long hangs in it. Either is ended, like one that died by itself, and its chunks are done again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.result import ChunkResult
from vggbatch.cluster.node_requirements import check_own_machine
from vggbatch.cluster.placement import Placement, place_here
from vggbatch.errors import UsageError
from vggbatch.executors.base import ExecutionFailed, Report, Work, stage_context
from vggbatch.executors.local.dispatch import Dispatch
from vggbatch.executors.local.messages import Begin, Done, Found, Indexed, Logged, Open, Ready
from vggbatch.executors.local.process import WorkerProcess
from vggbatch.executors.local.timeouts import Timeouts
from vggbatch.job.job import Job
from vggbatch.job.networks import network_opener
from vggbatch.models.preparation.prepare import is_prepared
from vggbatch.output.layout import Output
from vggbatch.pipeline.run_logging import RunLogger
from vggbatch.pipeline.stages import StageContext

_CLASSIFIERS = 8
"""Classifiers in one process at most: beyond, Python's lock makes them wait for each other."""
_UNREADY_DEATHS = 3
"""Workers in a row that die before they are ready and before they have work, until that is it."""
_POLL_S = 0.5
"""Seconds for which an event is waited for."""


@dataclass
class _Slot:
    """A place for a worker."""

    worker: WorkerProcess
    classifiers: int = 0
    opened_at: float | None = None
    """When it was asked to open the networks."""
    ready: bool = False
    replacement: bool = False
    """Whether another one died here: this one gets no work before it is ready."""


class LocalExecutor:
    """Scores chunks in processes of this machine.

    Args:
        first: a worker that has been started, and is ended by the caller if it lives then.
    """

    name = "local"

    def __init__(self, first: WorkerProcess) -> None:
        self.placement: Placement | None = None
        self._slots = [_Slot(first)]
        self._events = first.events
        self._ended = contextlib.ExitStack()
        self._threads = ThreadPoolExecutor(1, "beside the run")
        self._context: StageContext | None = None
        self._dispatch: Dispatch | None = None
        self._lethal: dict[ChunkKey, str] = {}
        self._unready_deaths = 0
        self._report: Report = lambda line: None
        self._log = RunLogger(__name__, "")

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.close()
        self._threads.shutdown(cancel_futures=True)

    def prepare(self, job: Job, run_id: str, output: Output) -> None:
        """Let the workers open the networks, where their prepared files are here already."""
        if _all_prepared(job):
            with contextlib.suppress(UsageError):  # which is said in its turn, by `check`
                placement = place_here(job.config.compute)
                self._open(stage_context(job, run_id, output, placement), placement)

    def check(self, job: Job, report: Report) -> Placement:
        """Fit the job into this machine."""
        self._report = report
        self.placement = check_own_machine(job, report)
        return self.placement

    def run(self, work: Work) -> Generator[ChunkResult | None, None, None]:
        """Score what is left."""
        assert self.placement is not None, "check comes first"
        network_opener(work.job)()  # the workers wait for the same files; here faults come to light
        context = work.context(self.placement)
        self._log = RunLogger(__name__, work.run_id)
        self._open(context, self.placement)
        self._context = context
        for slot in self._slots:
            slot.worker.send(Begin(context))
        sizes = [slot.classifiers for slot in self._slots]
        dispatch = Dispatch(work.remaining(), work.rows, sizes, self._lethal)
        self._dispatch = dispatch
        timeouts = Timeouts(work)
        yield from dispatch.refused
        while True:
            able = [n for n, slot in enumerate(self._slots) if slot.ready or not slot.replacement]
            for number, message in dispatch.give(able):
                self._slots[number].worker.send(message)
            if dispatch.finished:
                return
            with contextlib.suppress(queue.Empty):
                worker, message = self._events.get(timeout=_POLL_S)
                yield from self._take(worker, message, dispatch)
            if timeouts.due:
                self._end_stuck(timeouts, dispatch)
                yield None

    def waiting_for(self) -> str | None:
        """What the workers are at."""
        if self._dispatch is None:
            return None
        if not any(slot.ready for slot in self._slots):
            return "the networks to be opened"
        if count := self._dispatch.open_chunks:
            return f"{count} chunk{'' if count == 1 else 's'} to be read, decoded and classified"
        if names := self._dispatch.indexing:
            return f"the input's store: the index of {names[0]}"
        return None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in a thread of the driver, which is idle for the most part."""
        return self._threads.submit(function, *arguments)

    def _open(self, context: StageContext, placement: Placement) -> None:
        """Start the workers that the run needs, and let each open the networks, unless it has."""
        count = -(-placement.actors // _CLASSIFIERS)
        while len(self._slots) < count:
            self._slots.append(_Slot(self._started()))
        for number, slot in enumerate(self._slots):
            if slot.opened_at is None:
                more = number < placement.actors % count
                slot.classifiers = placement.actors // count + more
                self._open_one(slot, context)

    def _started(self) -> WorkerProcess:
        return self._ended.enter_context(WorkerProcess(self._events))

    def _open_one(self, slot: _Slot, context: StageContext) -> None:
        logger = logging.getLogger("vggbatch")
        # where no one has asked for log lines, Python would print those of failures
        level = logger.getEffectiveLevel() if logger.hasHandlers() else logging.CRITICAL + 1
        slot.opened_at = time.monotonic()
        slot.worker.send(Open(context, slot.classifiers, level))

    def _take(
        self, worker: WorkerProcess, message: Any, dispatch: Dispatch
    ) -> Iterator[ChunkResult]:
        """Do what a worker's message asks for."""
        number = next(n for n, slot in enumerate(self._slots) if slot.worker is worker)
        if isinstance(message, Done):
            dispatch.done(number, message.result.key)
            yield message.result
        elif isinstance(message, Found):
            refused = dispatch.found(number, message.chunk)
            if refused is not None:
                yield refused
        elif isinstance(message, Indexed):
            dispatch.indexed(number)
        elif isinstance(message, Ready):
            self._slots[number].ready = True
            self._unready_deaths = 0
        elif isinstance(message, Logged):
            logger = logging.getLogger(message.record.name)
            if logger.isEnabledFor(message.record.levelno):
                logger.handle(message.record)
        elif message is None:
            yield from self._replace(number, dispatch)

    def _replace(self, number: int, dispatch: Dispatch) -> Iterator[ChunkResult]:
        """Start a worker in place of one that is gone."""
        slot = self._slots[number]
        reason = slot.worker.how_it_ended()
        open_before = sum(1 for _ in dispatch.open_items(number))
        self._log.info("worker ended", extra={"reason": reason, "open_items": open_before})
        if not slot.ready and not open_before:
            self._unready_deaths += 1
            if self._unready_deaths >= _UNREADY_DEATHS:
                raise ExecutionFailed(
                    f"{_UNREADY_DEATHS} scoring processes in a row ended before they were ready; "
                    f"the last one {reason}"
                )
        else:
            self._report(f"a scoring process {reason}; what it had is done again, with more care")
        failed = dispatch.lost(number, reason)
        slot.worker, slot.ready, slot.replacement = self._started(), False, True
        assert self._context is not None, "it runs"
        self._open_one(slot, self._context)
        slot.worker.send(Begin(self._context))
        yield from failed

    def _end_stuck(self, timeouts: Timeouts, dispatch: Dispatch) -> None:
        """End the workers that are stopped or hang; their end is an event."""
        if standstill := timeouts.standstill():
            dispatch.shift(standstill)
            for slot in self._slots:
                slot.worker.heard += standstill
                if slot.opened_at is not None:
                    slot.opened_at += standstill
        for number, slot in enumerate(self._slots):
            assert slot.opened_at is not None, "all are opened before work is given"
            opening = None if slot.ready else slot.opened_at
            items = list(dispatch.open_items(number))
            verdict = timeouts.verdict(slot.worker.heard, opening, items, slot.classifiers)
            if verdict is not None:
                slot.worker.kill(verdict)


def _all_prepared(job: Job) -> bool:
    """Whether this machine has the networks' files, so that to open them leaves nothing behind."""
    crops, config = job.protocol.crops is not None, job.config
    features = config.features is not None
    prepared = functools.partial(
        is_prepared, cache_dir=config.cache_dir, portable=job.provider is not None
    )
    return all(
        (not crops or prepared(model, features=features))
        and (not job.protocol.dense or prepared(model, dense=True))
        for model in job.models
    )
