"""Static post-training quantization to int8: U8 activations, S8 weights per output channel.

onnxruntime's own quantizer does it. It keeps the intermediate results of all images that it is
given at once, so it is given one batch at a time: minima and maxima, or histograms, are merged
from batch to batch, and memory does not grow with the number of images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import version_converter

from vggbatch.errors import UsageError
from vggbatch.models.graph import make_batchable, operators, opset
from vggbatch.models.prepare import original_file
from vggbatch.models.resolve import Model
from vggbatch.models.synthesis import synthesize

Format = Literal["qdq", "qoperator"]
Calibration = Literal["minmax", "entropy", "percentile"]

PER_CHANNEL_OPSET = 13
"""The first in which QuantizeLinear has an axis."""
BATCH = 4
"""Images whose intermediate results are held at once: about 60 MB each in VGG-16."""
_QUANTIZED = ["Conv", "Gemm", "MatMul", "Relu", "Clip", "MaxPool", "AveragePool", "Flatten"]
_QUANTIZED += ["Reshape", "GlobalAveragePool", "Add", "Mul", "Concat", "Transpose"]
_DOT_PRODUCT = {"avx512_vnni", "avx_vnni", "asimddp"}


def has_dot_product() -> bool:
    """Whether this machine multiplies u8 by s8 into 32 bits; others may saturate at 16."""
    try:
        return bool(_DOT_PRODUCT & set(Path("/proc/cpuinfo").read_text().split()))
    except OSError:
        return False


def quantize(
    model: Model,
    images: NDArray[np.uint8],
    normalise: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    target: Path,
    *,
    quant_format: Format = "qdq",
    calibration: Calibration = "minmax",
    reduce_range: bool | None = None,
    cache_dir: str | None = None,
) -> None:
    """Write an int8 version of a model, batchable, with the same ports.

    Args:
        model: fp32, as `resolve` describes it.
        images: uint8 RGB [n, crop, crop, 3] to calibrate on.
        normalise: makes the network's input of them.
        target: ONNX file to write.
        quant_format: QDQ, which onnxruntime fuses itself, or operators such as QLinearConv.
        calibration: how the range of an activation follows from its values.
        reduce_range: weights of 7 bits, which cannot saturate; None: where this machine has no
            dot product instruction.
        cache_dir: None: as `cache_folder` says.

    Raises:
        UsageError: no images, or the model is quantized already.
    """
    # its import costs a second and needs an extra, which only this function uses
    from onnxruntime import quantization

    if not len(images):
        raise UsageError("no image to calibrate on")
    batches = _Batches(images, normalise, model.input)
    with tempfile.TemporaryDirectory() as folder:
        source = _float_model(model, Path(folder), cache_dir)
        quantization.quantize_static(
            source,
            target,
            batches,
            quant_format={
                "qdq": quantization.QuantFormat.QDQ,
                "qoperator": quantization.QuantFormat.QOperator,
            }[quant_format],
            per_channel=True,
            reduce_range=not has_dot_product() if reduce_range is None else reduce_range,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method={
                "minmax": quantization.CalibrationMethod.MinMax,
                "entropy": quantization.CalibrationMethod.Entropy,
                "percentile": quantization.CalibrationMethod.Percentile,
            }[calibration],
            # a softmax in steps of 1/256 would end most of the classes
            op_types_to_quantize=_QUANTIZED,
            # named for min-max, and what hands over one batch at a time for every method
            extra_options={"CalibStridedMinMax": 1},
        )


def _float_model(model: Model, folder: Path, cache_dir: str | None) -> Path:
    """The batchable fp32 graph, batch norms folded, in an opset that knows per-channel scales."""
    from onnxruntime.quantization import quant_utils

    path = original_file(model, folder, cache_dir, None)
    if model.synthetic:
        graph = synthesize(model.name.removesuffix("@synthetic"))
    else:
        graph = onnx.load(path)
    if any("Linear" in kind or kind.startswith("Q") for kind in operators(graph)):
        raise UsageError(f"{model.name} is quantized already")
    make_batchable(graph, input_name=model.input)
    if opset(graph) < PER_CHANNEL_OPSET:
        graph = version_converter.convert_version(graph, PER_CHANNEL_OPSET)
    # what onnxruntime's quantizer advises to run first is done here, and noted as its tool does
    quant_utils.add_pre_process_metadata(graph)
    onnx.save(graph, folder / "batchable.onnx")
    del graph
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    onnxruntime.InferenceSession(
        folder / "batchable.onnx", options, providers=["CPUExecutionProvider"]
    )
    return folder / "folded.onnx"


class _Batches:
    """The calibration images as onnxruntime's quantizer asks for them, a batch at a time."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        normalise: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        name: str,
    ) -> None:
        self.images, self.normalise, self.name = images, normalise, name
        self.left = iter(range(len(self)))

    def __len__(self) -> int:
        return -(-len(self.images) // BATCH)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Go on from one batch to before another."""
        self.left = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, or None."""
        index = next(self.left, None)
        if index is None:
            return None
        return {self.name: self.normalise(self.images[index * BATCH : (index + 1) * BATCH])}

    def __iter__(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        return iter(self.get_next, None)
