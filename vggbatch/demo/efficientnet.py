"""EfficientNet-Lite0 as an ONNX graph, from the tensors that PyTorch keeps of it.

The network is EfficientNet-B0 of Tan and Le (2019) without squeeze-and-excite and with ReLU6, as
Google published it for small devices (tensorflow/tpu, models/official/efficientnet/lite).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUT, OUTPUT = "images", "logits"
SIZE = 224
"""Height and width of an image."""

_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, side of their kernels, stride of the first, expansion, channels."""
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_EPSILON = 1e-3
"""Added to a variance before the division by its root, in training as here."""
_OPSET, _IR_VERSION = 13, 8


def build(tensors: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """The network, each batch normalization folded into the convolution before it.

    Args:
        tensors: of the state dict, by name.

    Returns:
        A checked model: float32 images [N, 3, 224, 224] to logits [N, 1000].

    Raises:
        ValueError: a tensor is missing, has another shape, or is none of this network.
    """
    graph = _Graph(tensors)
    x = graph.convolution(INPUT, "_conv_stem", "_bn0", (3, _STEM), 3, 2)
    channels, number = _STEM, 0
    for blocks, kernel, stride, expansion, wide in _STAGES:
        for index in range(blocks):
            step = stride if index == 0 else 1
            x = graph.block(x, f"_blocks.{number}", (channels, wide), kernel, step, expansion)
            channels, number = wide, number + 1
    x = graph.convolution(x, "_conv_head", "_bn1", (channels, _HEAD))
    return graph.finished(x)


class _Graph:
    """The nodes and weights so far."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        # how many batches a mean was made of says nothing of the network
        self.left = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, npt.NDArray[np.float32]] = {
            "lowest": np.array(0, np.float32),
            "highest": np.array(6, np.float32),
        }

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor of the state dict, once."""
        tensor = self.left.pop(name, None)
        if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
            raise ValueError(f"no float32 tensor {name!r} of shape {list(shape)}")
        return tensor

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return that."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def block(
        self, x: str, name: str, channels: tuple[int, int], kernel: int, stride: int, expansion: int
    ) -> str:
        """Add an inverted residual block: widen, filter each channel, narrow."""
        start, (narrow, wide) = x, channels
        inner = narrow * expansion
        if expansion != 1:
            x = self.convolution(x, f"{name}._expand_conv", f"{name}._bn0", (narrow, inner))
        x = self.convolution(
            x, f"{name}._depthwise_conv", f"{name}._bn1", (1, inner), kernel, stride
        )
        x = self.convolution(
            x, f"{name}._project_conv", f"{name}._bn2", (inner, wide), clipped=False
        )
        return self.node("Add", [x, start], f"{name}.sum") if stride == 1 and narrow == wide else x

    def convolution(
        self,
        x: str,
        name: str,
        norm: str,
        channels: tuple[int, int],
        kernel: int = 1,
        stride: int = 1,
        *,
        clipped: bool = True,
    ) -> str:
        """Add a convolution with its normalization and, unless that is left out, ReLU6.

        Args:
            x: what it reads.
            name: of its tensor.
            norm: of the normalization's tensors.
            channels: that each filter reads, 1 where each has a channel of its own, and filters.
            kernel: side of a filter.
            stride: in both directions.
            clipped: whether ReLU6 follows.
        """
        reads, filters = channels
        weight = self.take(f"{name}.weight", filters, reads, kernel, kernel).astype(np.float64)
        gain, shift, mean, variance = (
            self.take(f"{norm}.{part}", filters).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain /= np.sqrt(variance + _EPSILON)
        self.weights[f"{name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
        self.weights[f"{name}.bias"] = (shift - mean * gain).astype(np.float32)
        x = self.node(
            "Conv",
            [x, f"{name}.weight", f"{name}.bias"],
            name,
            group=filters if reads == 1 else 1,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=_padding(kernel, stride),
        )
        return self.node("Clip", [x, "lowest", "highest"], f"{name}.relu6") if clipped else x

    def finished(self, x: str) -> onnx.ModelProto:
        """The model, its classifier added."""
        self.weights["_fc.weight"] = self.take("_fc.weight", _CLASSES, _HEAD)
        self.weights["_fc.bias"] = self.take("_fc.bias", _CLASSES)
        if self.left:
            raise ValueError(f"a tensor {min(self.left)!r}, which this network does not have")
        x = self.node("GlobalAveragePool", [x], "_avg_pooling")
        x = self.node("Flatten", [x], "features")
        self.node("Gemm", [x, "_fc.weight", "_fc.bias"], OUTPUT, transB=1)
        graph = helper.make_graph(
            self.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", _CLASSES])],
            [numpy_helper.from_array(np.asarray(w), name) for name, w in self.weights.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="vggbatch-demo",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _padding(kernel: int, stride: int) -> list[int]:
    """Zeros around a map whose sides are even, as TensorFlow's SAME has them: more at the end."""
    total = kernel - stride
    return [total // 2] * 2 + [total - total // 2] * 2
