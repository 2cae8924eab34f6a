"""What an append costs with more and more images that are there already, end to end.

    python -m benchmarks.append_cost --old 1000 10000 100000 1000000 --new 1000

Prints a line for each number: seconds to list the input, seconds of `score --append` and of the
same command when nothing is new, and the most memory of the driver. The old images are empty files,
which become rows with an error without being decoded: what is measured is what it costs that they
are there. The new ones are photographs, classified by a network that hardly computes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command_line import at_least_one, run
from benchmarks.growth import small_network
from vggbatch.bench.setup import collect_images
from vggbatch.errors import VggbatchError

_IN_A_FOLDER = 1000
_LIST = """
import sys, time
from vggbatch.sources import survey
started = time.perf_counter()
survey([sys.argv[1]])
print(time.perf_counter() - started)
"""
_MEMORY = """
import resource, runpy, sys
sys.argv = ["vggbatch", *sys.argv[1:]]
try:
    runpy.run_module("vggbatch", run_name="__main__")
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@dataclass(frozen=True)
class Cost:
    """Of one append."""

    old: int
    new: int
    first_seconds: float
    """Of the run that scored the old images."""
    listing_seconds: float
    append_seconds: float
    nothing_seconds: float
    """Of the same command once more, when nothing is new."""
    new_alone_seconds: float
    """Of a run over the new images alone."""
    peak_bytes: int
    """Of the driver in the append."""


def costs(inputs: Sequence[str], old: Sequence[int], new: int, folder: Path) -> Iterator[Cost]:
    """Append the same number of images to outputs of more and more.

    Args:
        inputs: photographs, repeated under other names as often as it takes.
        old: numbers of images that are there.
        new: images that come.
        folder: for what is in between.

    Raises:
        VggbatchError: a command failed.
    """
    network = str(small_network(folder))
    photographs = folder / "photographs"
    collect_images(inputs, new, photographs)
    alone, _ = _score(network, photographs, folder / "alone")
    for count in old:
        work = Path(tempfile.mkdtemp(prefix=f"{count}-", dir=folder))
        images = work / "images"
        for number in range(count):
            place = images / f"{number // _IN_A_FOLDER:06d}"
            if number % _IN_A_FOLDER == 0:
                place.mkdir(parents=True)
            (place / f"{number:09d}.jpg").touch()
        first, _ = _score(network, images, work / "out")
        shutil.copytree(photographs, images / "new", copy_function=os.link)
        listing = float(_output([sys.executable, "-c", _LIST, str(images)]).splitlines()[-1])
        seconds, peak = _score(network, images, work / "out", "--append")
        nothing, _ = _score(network, images, work / "out", "--append")
        history = json.loads((work / "out" / "run.json").read_text())["history"]
        if (history[-1]["added"], history[-1]["images"]) != (new, count + new):
            raise VggbatchError(f"the append added something else: {history[-1]}")
        shutil.rmtree(work)
        yield Cost(count, new, first, listing, seconds, nothing, alone, peak)


def _score(network: str, images: Path, out: Path, *more: str) -> tuple[float, int]:
    """Seconds of the whole command, and the most memory of its process."""
    command = [sys.executable, "-c", _MEMORY, "score", str(images), "-o", str(out), "-m", network]
    command += ["--max-error-rate", "1", "-q", *more]
    started = time.perf_counter()
    errors = _output(command, errors=True)
    return time.perf_counter() - started, int(errors.split()[-1]) * 1024


def _output(command: Sequence[str], *, errors: bool = False) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VggbatchError(done.stderr.strip())
    return done.stderr if errors else done.stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="*", metavar="INPUT", default=["vggbatch/demo"])
    parser.add_argument(
        "--old", nargs="+", type=at_least_one, default=[1000, 10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--new", type=at_least_one, default=1000)
    parser.add_argument("--folder", type=Path, help="for what is in between; default: temporary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        heads = ("old", "new", "first s", "listing s", "append s", "nothing s", "alone s", "MB")
        print(("{:>10}" * len(heads)).format(*heads))
        for cost in costs(args.inputs, args.old, args.new, Path(folder)):
            seconds = (
                cost.first_seconds,
                cost.listing_seconds,
                cost.append_seconds,
                cost.nothing_seconds,
                cost.new_alone_seconds,
            )
            shown = [f"{cost.old:,}", f"{cost.new:,}", *(f"{value:.1f}" for value in seconds)]
            shown.append(f"{cost.peak_bytes / 1e6:,.0f}")
            print("".join(f"{text:>10}" for text in shown), flush=True)


if __name__ == "__main__":
    run(main)
