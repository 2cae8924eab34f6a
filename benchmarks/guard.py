"""Whether whole commands are as fast as those of an earlier commit, on this machine, in turns.

    python -m benchmarks.guard v0.1.0 --rounds 7

Both trees score the same photographs with the same network and the packages of this environment.
A line for each round, then the median of its ratios, rate now to rate before. The exit status is 1
where that is below 0.95: for a nightly job on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command_line import at_least_one, run
from benchmarks.growth import small_network
from vggbatch.bench.setup import collect_images
from vggbatch.errors import VggbatchError

LOWEST = 0.95
"""The ratio that noise does not explain where rounds take turns on a quiet machine."""


@contextmanager
def tree_of(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit, in a work tree of their own for the block.

    Raises:
        VggbatchError: there is no such commit.
    """
    tree = folder / "before"
    words = ["git", "worktree", "add", "--quiet", "--detach", str(tree), commit]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        raise VggbatchError(made.stderr.strip())
    try:
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], check=True)


def check_package(tree: Path, folder: Path) -> None:
    """Make sure that a command with this tree in PYTHONPATH runs its package and no installed one.

    Raises:
        VggbatchError: it does not.
    """
    words = [sys.executable, "-c", "import vggbatch; print(vggbatch.__file__)"]
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    if not Path(done.stdout.strip()).resolve().is_relative_to(tree.resolve()):
        raise VggbatchError(f"{done.stdout.strip()} would run, not the package of {tree}")


def seconds_of(tree: Path, images: Path, network: str, folder: Path) -> float:
    """Of a whole `score` by the package of a tree.

    Raises:
        VggbatchError: it failed.
    """
    out = folder / "out"
    command = [sys.executable, "-m", "vggbatch", "score", str(images), "-o", str(out)]
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "-m", network, "-q"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise VggbatchError(f"{tree}: {done.stderr.strip()}")
    shutil.rmtree(out)
    return seconds


def main() -> None:
    """Print the rounds and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the earlier one: a tag, a branch or a hash")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", default=["vggbatch/demo"])
    parser.add_argument("--model", help="default: a network that hardly computes")
    parser.add_argument("--images", type=at_least_one, default=2000)
    parser.add_argument("--rounds", type=at_least_one, default=5)
    args = parser.parse_args()
    ratio = measure(args)
    print(f"whole command, {args.images:,} images: {ratio:.3f} times the rate before")
    sys.exit(ratio < LOWEST)


def measure(args: argparse.Namespace) -> float:
    """The median over the rounds of the rate now to the rate before.

    Raises:
        VggbatchError: there is no such commit or no image, or a run failed.
    """
    with tempfile.TemporaryDirectory() as name, tree_of(args.commit, Path(name)) as before:
        folder = Path(name)
        images = folder / "images"
        collect_images(args.inputs, args.images, images)
        network = str(Path(args.model).resolve()) if args.model else str(small_network(folder))
        trees = {"before": before, "now": Path.cwd()}
        for tree in trees.values():
            check_package(tree, folder)
            seconds_of(tree, images, network, folder)  # prepares the network, warms the disk
        ratios = []
        for number in range(args.rounds):
            names = list(trees) if number % 2 else list(reversed(trees))
            took = {name: seconds_of(trees[name], images, network, folder) for name in names}
            ratios.append(took["before"] / took["now"])
            print(
                f"round {number + 1}: before {took['before']:.2f} s, now {took['now']:.2f} s",
                flush=True,
            )
    return statistics.median(ratios)


if __name__ == "__main__":
    run(main)
