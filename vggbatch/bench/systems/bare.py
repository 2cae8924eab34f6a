"""The two parts of the work alone: a network on crops that are ready, and decoding."""

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
from vggbatch.bench.task import Graph, Task
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

    def graph(self, task: Task) -> Graph:
        """What it runs: the model as the peers have it."""
        return Graph(task.model, task.input, task.output)

    def run(self, task: Task) -> None:
        """Run the network for some seconds, with all cores."""
        values, graph = ready_values(task), self.graph(task)
        sessions = open_sessions(task, graph, task.sessions)
        marking = threading.Lock()
        found = np.full(len(values), -1)
        chunks = [
            np.arange(i, min(i + task.batch, len(values)))
            for i in range(0, len(values) - task.batch + 1, task.batch)
        ] or [np.resize(np.arange(len(values)), task.batch)]
        turns = itertools.cycle(chunks)
        began = time.perf_counter()
        started = itertools.count()

        def work(session: ort.InferenceSession) -> None:
            while (seconds := time.perf_counter() - began) < _LONGEST:
                if next(started) * task.batch >= task.count and seconds >= _SHORTEST:
                    return
                with marking:
                    rows = next(turns)
                [scores] = session.run([graph.output], {graph.input: values[rows]})
                found[rows] = scores.reshape(len(rows), -1).argmax(axis=1)
                with marking:
                    task.mark(len(rows))

        _together([partial(work, session) for session in sessions])
        done = int((found >= 0).cumprod().sum())
        task.save_top1([file.name for file in task.files()[:done]], found[:done])


class Prepared(Bare):
    """The same with the graph that vggbatch runs, which it has prepared."""

    name = "prepared"
    title = "bare, prepared graph"

    def unfit(self, task: Task) -> str | None:
        """Why there is no such graph."""
        return "it was not prepared" if task.prepared is None else None

    def graph(self, task: Task) -> Graph:
        """What vggbatch opens."""
        assert task.prepared is not None
        return task.prepared


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


def search(task: Task, graph: Graph) -> dict[str, int]:
    """The fastest batch and number of sessions: larger ones are tried as long as they gain.

    One session with a thread on every core is tried, and one for each core where so many copies of
    the weights take less than a quarter of the memory.
    """
    values = ready_values(task)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    layouts = [1]
    if task.cores > 1 and _size(graph) * task.cores < memory // 4:
        layouts.append(task.cores)
    best = (0.0, 1, 1)
    for count in layouts:
        sessions = open_sessions(task, graph, count)
        batch, losses, rate = graph.batch or 1, 0, 0.0
        largest = graph.batch or min(LARGEST_BATCH, task.count)
        while batch <= largest and losses < 2:
            now = _rate(graph, sessions, np.resize(values, (batch, *values.shape[1:])))
            best = max(best, (now, batch, count))
            losses = 0 if now > rate else losses + 1
            rate = max(rate, now)
            batch *= 2
    return {"batch": best[1], "sessions": best[2]}


def _size(graph: Graph) -> int:
    """Bytes of the network, its weights included."""
    weights = Path(graph.file).with_suffix(".data")
    beside = weights.stat().st_size if weights.exists() else 0
    return Path(graph.file).stat().st_size + beside


def open_sessions(task: Task, graph: Graph, count: int) -> list[ort.InferenceSession]:
    """Sessions that share the cores out among them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(1, task.cores // count)
    options.log_severity_level = 3
    if graph.optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return [open_exactly(graph.file, options) for _ in range(count)]


def ready_values(task: Task) -> npt.NDArray[np.float32]:
    """The network's input of the first images, as many as differ and READY at most."""
    files = task.files()[: min(READY, task.distinct)]
    crops = np.stack([crop_of(file, task.recipe) for file in files])
    return network_input(crops, task.recipe, task.layout)


def _rate(
    graph: Graph, sessions: list[ort.InferenceSession], values: npt.NDArray[np.float32]
) -> float:
    images = itertools.count()

    def work(session: ort.InferenceSession, until: float) -> None:
        while True:
            session.run([graph.output], {graph.input: values})
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


def search_to_file(task: Task, system: Bare) -> None:
    """Leave the result of the search in the work folder."""
    (Path(task.work) / "best.json").write_text(json.dumps(search(task, system.graph(task))))
