"""How the cost grows with the number of images: rate and peak memory of the whole command.

    python -m benchmarks.growth images --sizes 1000 10000 50000

Prints a line for each size. INPUT is repeated under other names; without --model the network hardly
computes, so that reading, decoding, transport and writing show. --set compute.executor=ray lets Ray
do it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.command_line import at_least_one, run
from vggbatch.bench import machine
from vggbatch.bench.measure import measure
from vggbatch.bench.setup import collect_images, prepare_networks
from vggbatch.bench.systems.ours import Ours
from vggbatch.config import JobConfig
from vggbatch.errors import VggbatchError

_CELL = 32
"""Pixels, of which the small network takes the average."""


@dataclass(frozen=True)
class Size:
    """What a number of images took."""

    images: int
    seconds: float
    rate: float
    """Images a second of the whole command."""
    steady_rate: float | None
    """Images a second without start and end."""
    peak_bytes: int
    """PSS of all processes."""


def grow(
    inputs: Sequence[str],
    sizes: Sequence[int],
    folder: Path,
    model: str | None = None,
    settings: Sequence[str] = (),
) -> Iterator[Size]:
    """Score more and more images, repeated under other names.

    Args:
        inputs: as `vggbatch score` takes them.
        sizes: numbers of images.
        folder: for what is in between; on a disk that knows hard links.
        model: as `vggbatch score --model` takes it; None: a network that hardly computes, so that
            everything around it shows.
        settings: `key=value` pairs, as `vggbatch score --set` takes them.

    Raises:
        UsageError: no such input or model.
        VggbatchError: a run failed.
    """
    [network] = prepare_networks([model or str(small_network(folder))], JobConfig(), folder)
    for size in sizes:
        work = Path(tempfile.mkdtemp(prefix=f"{size}-", dir=folder))
        images = collect_images(inputs, size, work / "images")
        task = network.task(
            images, work=work, cores=machine.cores(), score_settings=tuple(settings)
        )
        found = measure(Ours(), task, 1, network.label)
        shutil.rmtree(work)
        if found.error:
            raise VggbatchError(f"{size} images: {found.error}")
        yield Size(
            images=found.images,
            seconds=found.seconds,
            rate=found.images / found.seconds,
            steady_rate=found.steady_rate,
            peak_bytes=found.peak_bytes,
        )


def small_network(folder: Path) -> Path:
    """The average colors of 7 x 7 cells through one random dense layer to 1000 classes."""
    weight = np.random.default_rng(0).normal(0, 1, (1000, 3 * 49)).astype(np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", ["data"], ["cells"], kernel_shape=[_CELL] * 2, strides=[_CELL] * 2
        ),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1000])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = folder / "small.onnx"
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+", metavar="INPUT")
    parser.add_argument("--sizes", type=at_least_one, nargs="+", default=[1_000, 10_000, 50_000])
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
    run(main)
