"""Print the memory of a network's weights in one classifier process and in several on one node.

    python -m benchmarks.weight_memory MODEL... [--processes 2] [--cache-dir FOLDER]

Each process opens the prepared file as a classifier of one thread does. Its weights are the pages
of the file that it has mapped, shared by all (PSS), and what opening leaves in memory of its own:
packed weights of kernels whose packs cannot be saved, and the graph. They are counted twice: after
opening without onnxruntime's arena, which keeps freed memory, with every page of the file touched
by a run; and as `whole`, all that the process holds after runs of a micro-batch, activations and
interpreter included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from ctypes import CDLL
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.command_line import at_least_one, run
from vggbatch.classifier.session import INT8_MICRO_BATCH, MICRO_BATCH, Session, SessionSpec
from vggbatch.config import ModelOptions
from vggbatch.models.preparation.prepare import PreparedModel, prepare
from vggbatch.models.resolve import resolve

MB = 2**20


def mapped(path: Path) -> int:
    """Proportional bytes of a file that this process has mapped."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:  # the head of a mapping, not one of its fields
            inside = line.endswith(str(path))
        elif inside and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total


def held(field: str) -> int:
    """A field of smaps_rollup of this process, in bytes, freed memory given back before."""
    CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def session(path: Path) -> onnxruntime.InferenceSession:
    """The file as a classifier opens it, but for the arena."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def process(prepared: PreparedModel, size: tuple[int, int], pipe: Connection) -> None:
    """One process: does each step when it is asked, and answers with what it holds."""
    one = np.zeros((1, 3, *size), np.float32)
    before = held("Anonymous:")
    opened = session(prepared.path)
    private = held("Anonymous:") - before
    opened.run(None, {prepared.input: one})
    pipe.send({"private": private})
    pipe.recv()  # all have touched the file by now
    pipe.send({"shared": mapped(prepared.path.with_name("model.data"))})
    pipe.recv()
    del opened
    batch = INT8_MICRO_BATCH if prepared.quantized else MICRO_BATCH
    spec = SessionSpec(
        str(prepared.path), prepared.input, prepared.outputs, "NCHW", False, True, batch
    )
    clock = time.perf_counter()
    classifier = Session(spec, threads=1)
    seconds = time.perf_counter() - clock
    for _ in range(2):
        classifier(one.repeat(batch, 0))
    pipe.send({"open": seconds})
    pipe.recv()
    pipe.send({"whole": held("Pss:")})
    pipe.recv()


def measure(prepared: PreparedModel, size: tuple[int, int], count: int) -> dict[str, Any]:
    """Sums over so many processes in bytes, and the longest time to open in seconds."""
    context = multiprocessing.get_context("spawn")
    pipes, running = [], []
    for _ in range(count):
        pipe, far = context.Pipe()
        running.append(context.Process(target=process, args=(prepared, size, far)))
        running[-1].start()
        pipes.append(pipe)
    found: list[dict[str, float]] = [{} for _ in pipes]
    for _ in range(4):
        for pipe, figures in zip(pipes, found, strict=True):
            figures.update(pipe.recv())
        for pipe in pipes:
            pipe.send(None)
    for each in running:
        each.join()
    sums = {name: sum(f[name] for f in found) for name in ("private", "shared", "whole")}
    return sums | {"open": max(f["open"] for f in found)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--processes", type=at_least_one, default=2)
    parser.add_argument("--cache-dir")
    options = parser.parse_args()
    print("| model | processes | shared MB | private MB | weights | whole MB | open s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.models:
        model = resolve(ModelOptions(name=name), cache_dir=options.cache_dir)
        prepared = prepare(model, cache_dir=options.cache_dir)
        alone = 0.0
        for count in (1, options.processes):
            found = measure(prepared, model.input_size or (224, 224), count)
            weights = found["shared"] + found["private"]
            alone = alone or weights
            cells = [Path(name).name, str(count), f"{found['shared'] / MB:.1f}"]
            cells += [f"{found['private'] / MB:.1f}", f"{weights / MB:.1f} ({weights / alone:.3f})"]
            cells += [f"{found['whole'] / MB:.0f}", f"{found['open']:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run(main)
