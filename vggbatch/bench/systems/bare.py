"""The two parts of the work alone: the network on crops that are ready, and decoding."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vggbatch.bench.plain import crop_of, network_input
from vggbatch.bench.systems.base import Program
from vggbatch.bench.task import Task
from vggbatch.exact_int8 import open_exactly

READY = 64
"""Crops that are made before the clock runs; more images than these are their repetitions."""
LARGEST_BATCH = 32
_SEARCH_SECONDS = 0.8
_LONGEST, _SHORTEST = 20.0, 2.0
"""Seconds that the network runs for a measurement: its rate is steady from the first batch on."""


class Bare(Program):
    """onnxruntime alone, at the batch and number of sessions that are best on this machine."""

    name = "bare"
    title = "bare onnxruntime"
    whole = False

    def run(self, task: Task) -> None:
        """Run the network for some seconds, with all cores."""
        values = ready_values(task)
        sessions = open_sessions(task, task.sessions)
        marking = threading.Lock()
        found = np.full(len(values), -1)
        chunks = [
            np.arange(i, min(i + task.batch, len(values)))
            for i in range(0, len(values) - task.batch + 1, task.batch)
        ] or [np.arange(len(values))]
        turns = itertools.cycle(chunks)
        began = time.perf_counter()
        started = itertools.count()

        def work(session: ort.InferenceSession) -> None:
            while (seconds := time.perf_counter() - began) < _LONGEST:
                if next(started) * task.batch >= task.count and seconds >= _SHORTEST:
                    return
                with marking:
                    rows = next(turns)
                [scores] = session.run([task.output], {task.input: values[rows]})
                found[rows] = scores.reshape(len(rows), -1).argmax(axis=1)
                with marking:
                    task.mark(len(rows))

        _together([partial(work, session) for session in sessions])
        done = int((found >= 0).cumprod().sum())
        task.save_top1([file.name for file in task.files()[:done]], found[:done])


class Decoding(Program):
    """Reading, decoding and cropping alone, a process on each core."""

    name = "decoding"
    title = "decoding alone"
    package = "PIL"
    install = "pip install pillow"
    whole = False

    def run(self, task: Task) -> None:
        """Make the crop of every image."""
        chunks = list(_batched(task.files(), 8))
        with ProcessPoolExecutor(task.cores) as pool:
            for _ in pool.map(partial(_decode, task), chunks):
                pass


def _decode(task: Task, files: list[Path]) -> None:
    for file in files:
        crop_of(file, task.recipe)
    task.mark(len(files))


def _batched(files: list[Path], size: int) -> Iterator[list[Path]]:
    for first in range(0, len(files), size):
        yield files[first : first + size]


def search(task: Task) -> dict[str, int]:
    """The fastest batch and number of sessions: larger ones are tried as long as they gain.

    One session with a thread on every core is tried, and one for each core where so many copies of
    the weights take less than a quarter of the memory.
    """
    values = ready_values(task)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    layouts = [1]
    if task.cores > 1 and os.path.getsize(task.model) * task.cores < memory // 4:
        layouts.append(task.cores)
    best = (0.0, 1, 1)
    for count in layouts:
        sessions = open_sessions(task, count)
        batch, losses, rate = 1, 0, 0.0
        while batch <= min(LARGEST_BATCH, task.count) and losses < 2:
            now = _rate(task, sessions, np.resize(values, (batch, *values.shape[1:])))
            best = max(best, (now, batch, count))
            losses = 0 if now > rate else losses + 1
            rate = max(rate, now)
            batch *= 2
    return {"batch": best[1], "sessions": best[2]}


def open_sessions(task: Task, count: int) -> list[ort.InferenceSession]:
    """Sessions that share the cores out among them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(1, task.cores // count)
    options.log_severity_level = 3
    return [open_exactly(task.model, options) for _ in range(count)]


def ready_values(task: Task) -> npt.NDArray[np.float32]:
    """The network's input of the first images, as many as differ and READY at most."""
    files = task.files()[: min(READY, task.distinct)]
    crops = np.stack([crop_of(file, task.recipe) for file in files])
    return network_input(crops, task.recipe, task.layout)


def _rate(
    task: Task, sessions: list[ort.InferenceSession], values: npt.NDArray[np.float32]
) -> float:
    images = itertools.count()

    def work(session: ort.InferenceSession, until: float) -> None:
        while True:
            session.run([task.output], {task.input: values})
            next(images)
            if time.perf_counter() >= until:
                return

    _together([partial(work, session, 0.0) for session in sessions])
    first = next(images)
    started = time.perf_counter()
    _together([partial(work, session, started + _SEARCH_SECONDS) for session in sessions])
    return (next(images) - first - 1) * len(values) / (time.perf_counter() - started)


def _together(work: list[partial[None]]) -> None:
    """Each in a thread of its own: onnxruntime lets go of the interpreter while it computes."""
    threads = [threading.Thread(target=job) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def search_to_file(task: Task) -> None:
    """Leave the result of the search in the work folder."""
    (Path(task.work) / "best.json").write_text(json.dumps(search(task)))
