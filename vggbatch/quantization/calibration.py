"""The ranges of a network's activations: what is seen of some images, merged with what others saw.

Minima and maxima come first, then histograms between fixed limits. Both are exactly the same
whatever images were looked at together and wherever, so parts of the work can be done by different
processes, and memory does not grow with the number of images. onnxruntime's own calibrators make
their bins as the first batch has it and widen them later; theirs depends on the order.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from vggbatch.models.graphs.runtime import open_network

Calibration = Literal["minmax", "percentile"]
Normalize = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
"""Operators that may have weights."""
QUANTIZED = [*WITH_WEIGHTS, "Relu", "Clip", "MaxPool", "AveragePool", "Flatten"]
"""Operators that become int8, and whose inputs and outputs are watched."""
QUANTIZED += ["Reshape", "GlobalAveragePool", "Add", "Mul", "Concat", "Transpose"]
# a softmax in steps of 1/256 would end most of the classes
BATCH = 4
"""Images whose activations are held at once: about 60 MB each in VGG-16."""
_BINS = 2048
"""Between -limit and limit, for percentiles."""
_PERCENTILE = 99.999
"""Both are onnxruntime's."""


@dataclass(frozen=True)
class Ranges:
    """Least and greatest value of each activation, by its tensor's name."""

    low: dict[str, np.float32]
    high: dict[str, np.float32]

    def __add__(self, other: Ranges) -> Ranges:
        """Of the images of both."""
        return Ranges(
            {name: min(value, other.low[name]) for name, value in self.low.items()},
            {name: max(value, other.high[name]) for name, value in self.high.items()},
        )

    def limit(self, name: str) -> float:
        """The greatest absolute value of a tensor."""
        return float(max(abs(self.low[name]), abs(self.high[name])))


@dataclass(frozen=True)
class Histograms:
    """How many values of each activation lie in each bin between -limit and limit."""

    counts: dict[str, NDArray[np.int64]]

    def __add__(self, other: Histograms) -> Histograms:
        """Of the images of both."""
        return Histograms({name: value + other.counts[name] for name, value in self.counts.items()})


class Observer(Protocol):
    """Looks at a network's activations, here or elsewhere."""

    def ranges(self, images: NDArray[np.uint8]) -> Ranges:
        """Minima and maxima over images, uint8 RGB [n, crop, crop, 3]."""

    def histograms(self, images: NDArray[np.uint8], ranges: Ranges, bins: int) -> Histograms:
        """Histograms of the same images within their ranges."""


class LocalObserver:
    """Runs the network in this process.

    Args:
        graph: fp32 ONNX file.
        name: the network's input.
        normalize: makes the input of images.
        threads: of onnxruntime; None: as many as there are cores.
    """

    def __init__(
        self, graph: Path, name: str, normalize: Normalize, threads: int | None = None
    ) -> None:
        self._input, self._normalize = name, normalize
        model, self._names = _with_activations(graph)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "observed.onnx"
            onnx.save(model, path)
            del model
            # what is fused away has no range
            self._session = open_network(path, optimize=False, threads=threads)

    def ranges(self, images: NDArray[np.uint8]) -> Ranges:
        """As Observer has it."""
        parts = (
            Ranges(
                {name: values.min() for name, values in seen.items()},
                {name: values.max() for name, values in seen.items()},
            )
            for seen in self._activations(images)
        )
        return sum(parts, next(parts))

    def histograms(self, images: NDArray[np.uint8], ranges: Ranges, bins: int) -> Histograms:
        """As Observer has it."""
        parts = (
            Histograms(
                {
                    name: np.histogram(values, bins, (-ranges.limit(name), ranges.limit(name)))[0]
                    for name, values in seen.items()
                }
            )
            for seen in self._activations(images)
        )
        return sum(parts, next(parts))

    def _activations(self, images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, len(images), BATCH):
            given = self._normalize(images[start : start + BATCH])
            # the input is watched too, and is no output of the graph
            inner = [name for name in self._names if name != self._input]
            values = self._session.run(inner, {self._input: given})
            own = {self._input: given} if self._input in self._names else {}
            yield own | dict(zip(inner, values, strict=True))


def calibrate(observer: Observer, images: NDArray[np.uint8], calibration: Calibration) -> Any:
    """The range that int8 gives each activation, as onnxruntime's TensorsData.

    Args:
        observer: looks at them.
        images: at least one, uint8 RGB [n, crop, crop, 3].
        calibration: all values seen, or all but a few.
    """
    from onnxruntime.quantization.calibrate import (
        CalibrationMethod,
        HistogramCollector,
        TensorsData,
    )

    ranges = observer.ranges(images)
    if calibration == "minmax":
        pairs = {
            name: (_scalar(low), _scalar(ranges.high[name])) for name, low in ranges.low.items()
        }
        return TensorsData(CalibrationMethod.MinMax, pairs)
    seen = observer.histograms(images, ranges, _BINS)
    # its number of quantized bins is for another method
    collector = HistogramCollector(calibration, False, _BINS, 128, _PERCENTILE, scenario="same")
    collector.histogram_dict = {
        name: (
            counts,
            np.linspace(-ranges.limit(name), ranges.limit(name), _BINS + 1, dtype=np.float32),
            _scalar(ranges.low[name]),
            _scalar(ranges.high[name]),
            ranges.limit(name),
        )
        for name, counts in seen.counts.items()
    }
    # it prints its progress on standard output, which is the result's
    with contextlib.redirect_stdout(io.StringIO()):
        found = collector.compute_collection_result()
    return TensorsData(CalibrationMethod.Percentile, found)


def _with_activations(graph: Path) -> tuple[onnx.ModelProto, list[str]]:
    """The network with every float tensor around a quantized operator as an output, and these."""
    model = onnx.shape_inference.infer_shapes(onnx.load(graph))
    constants = {tensor.name for tensor in model.graph.initializer}
    known = {
        value.name: value
        for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
        if value.name not in constants
        and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    around = (
        name
        for node in model.graph.node
        if node.op_type in QUANTIZED
        for name in (*node.input, *node.output)
        if name in known
    )
    names = list(dict.fromkeys(around))
    ports = {value.name for value in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(known[name] for name in names if name not in ports)
    return model, names


def _scalar(value: np.float32) -> NDArray[np.float32]:
    return np.array(value, np.float32)
