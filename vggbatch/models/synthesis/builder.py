"""What the exporters' graphs have in common: shapes, layers in order, the finished file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vggbatch.models.catalog import CatalogEntry
from vggbatch.models.synthesis.weights import CAFFE_DEVIATION, GAINS, LOGIT_DEVIATION, SeededWeights

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""3 x 3 convolutions in each of the five blocks (Simonyan and Zisserman 2015, columns D and E)."""
WIDTHS = (64, 128, 256, 512, 512)
DENSE_WIDTH = 4096
CONV: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
POOL: dict[str, Any] = {"kernel_shape": [2, 2], "pads": [0, 0, 0, 0], "strides": [2, 2]}


class SyntheticBuilder:
    """One network being built: what the exporters have in common."""

    def __init__(
        self, entry: CatalogEntry, seed: int, shrink: int, size: int, classes: int
    ) -> None:
        self.entry = entry
        self.weights = SeededWeights(seed)
        self.shrink, self.size, self.classes = shrink, size, classes
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.layer = 0
        self.reads = "image"

    def node(
        self, kind: str, inputs: Sequence[str], output: str, *, name: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output, and return that."""
        node = helper.make_node(kind, list(inputs), [output], name=name or None, **attributes)
        self.nodes.append(node)
        return output

    def tensor(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer, and return its name."""
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def pool(self, x: str, output: str, *, name: str = "") -> str:
        """Add the max-pooling that ends a block."""
        self.reads = "pool"
        return self.node("MaxPool", [x], output, name=name, **POOL)

    def parameters(self, shape: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias of the next layer."""
        gain = GAINS[self.reads]
        if self.layer == 0 and self.entry.exporter == "caffe2":
            gain /= CAFFE_DEVIATION
        if self.layer == self.entry.layers - 1:
            gain *= LOGIT_DEVIATION
        weight = self.weights.filters(self.layer, shape, gain)
        bias = self.weights.uniform(self.layer, 1, shape[0], -0.1, 0.1)
        self.layer += 1
        self.reads = "relu"
        return weight, bias

    def widths(self) -> list[list[int]]:
        """Output channels of every convolution, block by block."""
        blocks = zip(CONVOLUTIONS[self.entry.layers], WIDTHS, strict=True)
        return [[width // self.shrink] * count for count, width in blocks]

    def dense_shapes(self) -> list[tuple[int, int]]:
        """Shape [out, in] of fc6, fc7 and fc8."""
        flat = WIDTHS[-1] // self.shrink * (self.size // 32) ** 2
        width = DENSE_WIDTH // self.shrink
        return [(width, flat), (width, width), (self.classes, width)]

    def model(
        self, output: str, *, ir_version: int, domains: Sequence[str] = ()
    ) -> onnx.ModelProto:
        """The finished file; IR 3 lists the initializers among the inputs, as the zoo's do."""
        entry = self.entry
        name = entry.input or ("data_0" if entry.exporter == "caffe2" else "data")
        used = {name for node in self.nodes for name in node.input}
        initializers = [tensor for tensor in self.initializers if tensor.name in used]
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *[self.size] * 2])]
        if ir_version < 4:
            inputs += [
                helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
                for t in initializers
            ]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, self.classes])]
        built = helper.make_graph(self.nodes, "vgg", inputs, outputs, initializers)
        opsets = [helper.make_opsetid("", entry.opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(
            built, opset_imports=opsets, ir_version=ir_version, producer_name="vggbatch-synthetic"
        )
