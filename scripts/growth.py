"""Show how rate and memory change with the number of images.

    python scripts/growth.py images --sizes 1000 10000 50000

Prints a line for each size. INPUT is repeated under other names; without --model the network hardly
computes, so that reading, decoding, transport and writing show. --set compute.executor=ray lets Ray
do it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from vggbatch.bench.growth import grow


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+", metavar="INPUT")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    print("images   seconds   images/s   steady   peak MB")
    with tempfile.TemporaryDirectory(prefix="vggbatch-growth-") as folder:
        for size in grow(given.inputs, given.sizes, Path(folder), given.model, given.set):
            steady = f"{size.steady_rate:8.1f}" if size.steady_rate else "       -"
            print(
                f"{size.images:6d} {size.seconds:9.1f} {size.rate:10.1f} {steady} "
                f"{size.peak_bytes / 1e6:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
