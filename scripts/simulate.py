"""Run the pipeline with as many classifiers as a cluster has, each a process that sleeps.

    python scripts/simulate.py --actors 64 --nodes 4 --seconds-an-image 0.074

Prints one line of JSON: the rate against the ideal, what the driver takes, what an actor takes.
0.074 s is a VGG-16 in int8 on one core with VNNI, 0.3 s in fp32.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

from vggbatch.bench.simulate import Simulation, simulate


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seconds-an-image", type=float, default=0.074)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--images-a-shard", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0, help="that the rate is taken for")
    what = Simulation(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="vggbatch-simulate-") as folder:
        print(json.dumps(dataclasses.asdict(simulate(what, Path(folder)))))


if __name__ == "__main__":
    main()
