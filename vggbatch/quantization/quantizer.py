"""Static post-training quantization to int8: U8 activations, S8 weights per output channel.

onnxruntime's own quantizer does it. The zoo used Intel's Neural Compressor; its ONNX part, now the
package onnx-neural-compressor, has had no release since 1.0 of July 2024, while this one is kept
together with the kernels that run its files.

Calibrated once (see calibration.py), a network can be written many times, with other layers left in
fp32.

A last dense layer always is. In int8 it costs more than all others together: a VGG-16 whose last
layer was fitted keeps 14 dB of signal to noise in its scores, and 39 with any other layer in int8
(measured). In fp32 it takes 0.3 % of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import shape_inference, version_converter
from onnxruntime import GraphOptimizationLevel

from vggbatch.errors import UsageError
from vggbatch.models.graphs.graph import is_quantized, make_batchable, opset, sort_nodes
from vggbatch.models.graphs.runtime import ONNXRUNTIME_ERRORS, reason, write_optimized
from vggbatch.models.model import Model
from vggbatch.models.source_files import original_file
from vggbatch.models.synthesis import synthesize
from vggbatch.quantization.calibration import (
    QUANTIZED,
    WITH_WEIGHTS,
    Calibration,
    LocalObserver,
    Normalize,
    Observer,
    calibrate,
)

Format = Literal["qdq", "qoperator"]

PER_CHANNEL_OPSET = 13
"""The first in which QuantizeLinear has an axis."""
_DOT_PRODUCT = {"avx512_vnni", "avx_vnni", "asimddp"}

Observe = Callable[[Path, str, Normalize], Observer]
"""As LocalObserver is made."""


def has_dot_product() -> bool:
    """Whether this machine multiplies u8 by s8 into 32 bits; others may saturate at 16."""
    try:
        return bool(_DOT_PRODUCT & set(Path("/proc/cpuinfo").read_text().split()))
    except OSError:
        return False


class Quantizer:
    """An fp32 network with the ranges of its activations, ready to be written as int8."""

    def __init__(
        self,
        model: Model,
        images: NDArray[np.uint8],
        normalize: Normalize,
        work: Path,
        *,
        quant_format: Format = "qdq",
        calibration: Calibration = "minmax",
        reduce_range: bool | None = None,
        cache_dir: str | None = None,
        observe: Observe = LocalObserver,
    ) -> None:
        """Calibrate.

        Args:
            model: fp32, as `resolve` describes it.
            images: uint8 RGB [n, crop, crop, 3] to calibrate on.
            normalize: makes the network's input of them.
            work: a folder for files that are needed as long as this object.
            quant_format: QDQ, which onnxruntime fuses itself, or operators such as QLinearConv.
            calibration: how the range of an activation follows from its values.
            reduce_range: weights of 7 bits, which cannot saturate; None: where this machine has no
                dot product instruction.
            cache_dir: None: as `cache_folder` says.
            observe: who looks at the activations.

        Raises:
            UsageError: no images, or the model is quantized already.
        """
        if not len(images):
            raise UsageError("no image to calibrate on")
        self.input = model.input
        self.normalize = normalize
        self.quant_format: Format = quant_format
        self.reduce_range = not has_dot_product() if reduce_range is None else reduce_range
        self.float_file = _float_model(model, work, cache_dir)
        observer = observe(self.float_file, model.input, normalize)
        self._ranges = calibrate(observer, images, calibration)
        self.graph = shape_inference.infer_shapes(onnx.load(self.float_file))
        """The fp32 network, each node with a name."""
        for node in self.graph.graph.node:
            node.name = node.name or node.output[0]  # layers are distinguished by name
        constants = {tensor.name for tensor in self.graph.graph.initializer}
        weighted = [
            node
            for node in self.graph.graph.node
            if node.op_type in WITH_WEIGHTS and node.input[1] in constants
        ]
        # of a network that has no other layer it is all there is to quantize
        last = weighted[-1:] if len(weighted) > 1 else []
        self._last = [node.name for node in last if node.op_type != "Conv"]
        self.layers = tuple(node.name for node in weighted if node.name not in self._last)
        """Names of the layers that become int8, in the graph's order."""

    def write(self, target: Path, *, keep_float: Collection[str] = ()) -> None:
        """Write the int8 network, batchable, with the same ports.

        Args:
            target: ONNX file.
            keep_float: layers to leave in fp32.
        """
        left = [*self._last, *keep_float]
        onnx.save(self._quantized(self.quant_format, [], left), target)

    def write_alone(self, target: Path, layer: str) -> None:
        """Write the network with one layer in int8, all else in fp32.

        Its input, weights and output are integers, as an int8 kernel has them. So a tensor that
        does not fit in 8 bits shows at both layers that it lies between, and both must be left in
        fp32 to fix it.
        """
        onnx.save(self._quantized("qdq", [layer], []), target)

    def _quantized(self, form: Format, only: list[str], without: list[str]) -> onnx.ModelProto:
        # its import costs a second, and with some onnxruntimes needs the extra `quantize`
        from onnxruntime import quantization
        from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer

        graph = onnx.ModelProto()
        graph.CopyFrom(self.graph)
        types = (quantization.QuantType.QInt8, quantization.QuantType.QUInt8)
        rest: tuple[Any, ...] = (*types, self._ranges, only, without, QUANTIZED, {})
        writer: Any
        if form == "qdq":
            writer = quantization.QDQQuantizer(graph, True, self.reduce_range, *rest)
        else:
            mode = quantization.QuantizationMode.QLinearOps
            writer = ONNXQuantizer(graph, True, self.reduce_range, mode, True, *rest)
        writer.quantize_model()
        result: onnx.ModelProto = writer.model.model
        sort_nodes(result.graph)
        return result


def _float_model(model: Model, folder: Path, cache_dir: str | None) -> Path:
    """The batchable fp32 graph, batch norms folded, in an opset that knows per-channel scales."""
    from onnxruntime.quantization import quant_utils

    path = original_file(model, folder, cache_dir, None)
    graph = onnx.load(path) if model.synthetic_of is None else synthesize(model.synthetic_of)
    if is_quantized(graph):
        raise UsageError(f"{model.name} is quantized already")
    make_batchable(
        graph,
        input_name=model.input,
        scores=model.scores,
        binary=model.output if model.binary else None,
    )
    if opset(graph) < PER_CHANNEL_OPSET:
        graph = version_converter.convert_version(graph, PER_CHANNEL_OPSET)
    # what onnxruntime's quantizer advises to run first is done here, and noted as its tool does
    quant_utils.add_pre_process_metadata(graph)
    onnx.save(graph, folder / "batchable.onnx")
    del graph
    folded = folder / "folded.onnx"
    try:
        write_optimized(folder / "batchable.onnx", folded, GraphOptimizationLevel.ORT_ENABLE_BASIC)
    except ONNXRUNTIME_ERRORS as error:
        raise UsageError(f"{model.name} cannot be optimized: {reason(error)}") from None
    return folded
