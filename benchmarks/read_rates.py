"""How fast images come out of each input, beside a plain loop over the same files.

    python -m benchmarks.read_rates INPUT...

Each input is read in one process, chunk after chunk as a worker reads it whose decoder and network
take no time, and by a loop that reads its files whole through fsspec, one after the other. The two
take turns; the rates are the medians, and so is what each takes of a core for 1,000 images, its
threads included. Nothing is decoded. Files on disk are read once before, so that both find them in
memory. For a store that answers late, see benchmarks.latency.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pyarrow as pa

from benchmarks.command_line import at_least_one, run
from vggbatch.errors import ImageError
from vggbatch.sources import Shard, discover, reader_for
from vggbatch.sources.ahead import ReadAhead
from vggbatch.storage.filesystem import filesystem

CHUNK = 100
OPEN = 4
"""Chunks that a worker process with one classifier has at a time."""

Result = TypeVar("Result")


def files_of(shards: list[Shard]) -> list[str]:
    """The URIs of the files behind shards."""
    files = []
    for shard in shards:
        if shard.members is None:
            files.append(shard.uri)
        else:
            files += shard.members["source"].to_pylist()
    return files


def plain_loop(files: list[str]) -> int:
    """Read whole files, one after the other; the bytes read."""
    total = 0
    for uri in files:
        fs, path = filesystem(uri)
        total += len(fs.cat_file(path))
    return total


def read_all(indexed: list[tuple[Shard, pa.Table]]) -> int:
    """Read all images of shards and their members in chunks, as a worker does; the bytes read."""
    total = 0
    ahead = ReadAhead(chunks=3)
    chunks = [
        (shard, members.slice(start, CHUNK), 2**62)
        for shard, members in indexed
        for start in range(0, len(members), CHUNK)
    ]
    begun = deque(ahead.read(*chunk) for chunk in chunks[: OPEN - 1])
    for number, chunk in enumerate(chunks):
        begun.extend(ahead.read(*following) for following in chunks[number + OPEN - 1 :][:1])
        for data in begun.popleft() or reader_for(chunk[0].format).read(*chunk):
            if isinstance(data, ImageError):
                raise SystemExit(f"{chunk[0].uri}: {data}")
            total += len(data)
    return total


def index_all(shards: list[Shard]) -> list[tuple[Shard, pa.Table]]:
    """The shards with their members."""
    return [(shard, reader_for(shard.format).members(shard)) for shard in shards]


def timed(call: Callable[[], Result]) -> tuple[float, float, Result]:
    """Seconds that a call takes, seconds of a core, and what it gives."""
    started, used = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - started, time.process_time() - used, result


def main() -> None:
    """Measure the inputs of the command line and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("input", nargs="+", help="as `vggbatch score` takes it; measured by itself")
    parser.add_argument("--repeat", type=at_least_one, default=5)
    options = parser.parse_args()
    width = max(map(len, options.input))
    print(
        f"{'input':{width}}  images      MB  index s  MB/s read  MB/s plain loop  ratio"
        "  CPU s read  CPU s plain loop"
    )
    for name in options.input:
        shards = discover([name])
        files = files_of(shards)
        plain_loop(files)
        index_seconds, _, indexed = timed(partial(index_all, shards))
        images = sum(len(members) for _, members in indexed)
        ours, plain, our_cpu, plain_cpu = [], [], [], []
        for _ in range(options.repeat):
            seconds, cpu, size = timed(partial(read_all, indexed))
            ours.append(size / seconds / 1e6)
            our_cpu.append(cpu / images * 1000)
            seconds, cpu, whole = timed(partial(plain_loop, files))
            plain.append(whole / seconds / 1e6)
            plain_cpu.append(cpu / images * 1000)
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        print(
            f"{name:{width}}  {images:6,} {whole / 1e6:7.1f} {index_seconds:8.3f} "
            f"{statistics.median(ours):10.1f} {statistics.median(plain):16.1f} {ratio:6.2f} "
            f"{statistics.median(our_cpu):11.3f} {statistics.median(plain_cpu):17.3f}",
            flush=True,
        )


if __name__ == "__main__":
    run(main)
