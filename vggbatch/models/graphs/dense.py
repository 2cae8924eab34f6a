"""Dense evaluation: a graph that takes whole images and averages its scores over all positions.

Simonyan and Zisserman 2014, section 3.2: the first fully connected layer becomes a convolution of
the size of the map it flattens (7 x 7), the others 1 x 1, and the score map is averaged. Here the
convolution is written as what it computes: every window of the map becomes a row of the batch, and
the dense layers stay as they are. So float, QDQ and QOperator networks are turned alike, weights
stay as they were prepared, all windows of a batch share one pass over them, and on an image of the
network's own size, which has a single window, the graph computes exactly what the plain one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from vggbatch.errors import UsageError
from vggbatch.models.graphs.graph import opset

_PREFIX = "dense_eval_"
_LARGEST_CONSTANT = 1024
"""Bytes; larger initializers are weights, and shape inference needs only their shapes."""
_END = 2**31 - 1


def make_dense(model: onnx.ModelProto) -> None:
    """Change a batchable model in place to take images of any size not below its own.

    Every output [N, width] becomes the mean over the windows of an image; a final Softmax is
    applied after the mean, so probabilities are of the averaged scores, as the paper has it.

    Args:
        model: what `make_batchable` made, before or after `add_normalization`; its image input has
            a fixed height and width.

    Raises:
        UsageError: nothing in the graph flattens a map [N, channels, height, width].
    """
    graph = model.graph
    shapes = _shapes(model)
    position, source = _flattened(graph, shapes)
    nodes = [_copy(node) for node in graph.node]
    body, flatten, head = nodes[:position], nodes[position], nodes[position + 1 :]
    unroll = _Builder(opset(model), f"{_PREFIX}windows_")
    rows = unroll.windows(source, *shapes[source][1:])
    count = unroll.per_image(source, rows)
    _rename(head, flatten.output[0], rows)
    average = _Builder(opset(model), f"{_PREFIX}mean_")
    for output in graph.output:
        last = next(node for node in head if output.name in node.output)
        if last.op_type == "Softmax":
            head.remove(last)
            last.input[0] = average.mean(last.input[0], count, f"{_PREFIX}{last.input[0]}")
            average.nodes.append(last)
        else:
            _rename(head, output.name, f"{_PREFIX}{output.name}")
            average.mean(f"{_PREFIX}{output.name}", count, output.name)
    del graph.node[:]
    graph.node.extend([*body, *unroll.nodes, *head, *average.nodes])
    graph.initializer.extend([*unroll.constants, *average.constants])
    del graph.value_info[:]
    _free_sizes(graph)


def _flattened(graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]]) -> tuple[int, str]:
    """Where the feature map is flattened: the node's position, and the map [N, C, H, W]."""
    for position, node in enumerate(graph.node):
        if node.op_type in ("Flatten", "Reshape") and len(shapes.get(node.input[0], ())) == 4:
            return position, node.input[0]
    raise UsageError(
        "dense evaluation needs a network whose dense layers follow a flattened feature map"
    )


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


class _Builder:
    """Adds nodes in the forms of one opset."""

    def __init__(self, version: int, prefix: str) -> None:
        self.version = version
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def windows(self, source: str, channels: int, height: int, width: int) -> str:
        """Every height x width window of a map [N, C, H, W], flattened: [N * windows, C * h * w].

        The windows of an image follow each other. Slices by offset within the window, since these
        are constant while the number of windows is not.
        """
        parts = [
            self._offset(self._offset(source, 2, y, height), 3, x, width)
            for y in range(height)
            for x in range(width)
        ]
        stacked = self._node("Concat", parts, axis=1)
        rows = self._node("Transpose", [stacked], perm=[0, 2, 3, 1])
        split = self._node("Reshape", [rows, self._ints([-1, height * width, channels])])
        ordered = self._node("Transpose", [split], perm=[0, 2, 1])
        return self._node("Reshape", [ordered, self._ints([-1, channels * height * width])])

    def per_image(self, source: str, flat: str) -> str:
        """The shape [N, windows, -1] that groups rows by image."""
        images = self._slice(self._node("Shape", [source]), 0, 0, 1)
        rows = self._slice(self._node("Shape", [flat]), 0, 0, 1)
        windows = self._node("Div", [rows, images])
        return self._node("Concat", [images, windows, self._ints([-1])], axis=0)

    def mean(self, scores: str, shape: str, name: str) -> str:
        """The mean of [N * windows, width] over the windows of each image: [N, width]."""
        grouped = self._node("Reshape", [scores, shape])
        if self.version < 18:
            return self._node("ReduceMean", [grouped], name, axes=[1], keepdims=0)
        return self._node("ReduceMean", [grouped, self._ints([1])], name, keepdims=0)

    def _offset(self, source: str, axis: int, offset: int, size: int) -> str:
        """What lies at one offset within all windows along an axis."""
        return self._slice(source, axis, offset, offset - size + 1 or _END)

    def _slice(self, source: str, axis: int, start: int, end: int) -> str:
        if self.version < 10:
            return self._node("Slice", [source], axes=[axis], starts=[start], ends=[end])
        limits = [self._ints([value]) for value in (start, end, axis)]
        return self._node("Slice", [source, *limits])

    def _ints(self, values: Sequence[int]) -> str:
        name = f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _node(
        self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        name = f"{self.prefix}{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output or name], name=name, **attributes))
        return output or name


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors, one image at a time, as far as they can be inferred."""
    graph = model.graph
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = graph.name
    light.graph.node.extend(graph.node)
    light.graph.input.extend(graph.input)
    light.graph.output.extend(graph.output)
    for value in light.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for tensor in graph.initializer:
        if tensor.ByteSize() <= _LARGEST_CONSTANT:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    inferred = shape_inference.infer_shapes(light, data_prop=True)
    values = (*inferred.graph.value_info, *inferred.graph.input)
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.elem_type != TensorProto.UNDEFINED
    }


def _free_sizes(graph: onnx.GraphProto) -> None:
    """Let the image input have any height and width: all but the batch and the three channels."""
    free = iter(("height", "width"))
    for dimension in graph.input[0].type.tensor_type.shape.dim[1:]:
        if dimension.dim_value != 3:
            dimension.Clear()
            dimension.dim_param = next(free)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
