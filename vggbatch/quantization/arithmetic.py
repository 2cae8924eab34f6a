"""How much of a network's arithmetic is int8, counted in multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import shape_inference

from vggbatch.quantization.calibration import WITH_WEIGHTS


def multiply_adds(graph: onnx.ModelProto, input_name: str, crop: int) -> dict[str, int] | None:
    """Multiply-adds of one image in each layer with constant weights, by the layer's name.

    Args:
        graph: whose first dimension is free; its nodes have names.
        input_name: its image input, of four dimensions.
        crop: height and width of the images.

    Returns:
        None where the shapes of its layers do not follow from that of the image.
    """
    sized = onnx.ModelProto()
    sized.CopyFrom(graph)
    del sized.graph.value_info[:]
    for value in sized.graph.input:
        if value.name == input_name:
            for place, dim in enumerate(value.type.tensor_type.shape.dim):
                if not place:
                    dim.dim_value = 1
                elif not dim.dim_value:
                    dim.dim_value = crop
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(sized, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    found = {}
    for node in inferred.node:
        if node.op_type not in WITH_WEIGHTS or node.input[1] not in weights:
            continue
        shape = shapes.get(node.output[0], [0])
        if not all(shape):
            return None
        found[node.name] = int(np.prod(shape)) * _products(node, weights[node.input[1]])
    return found


def int8_share(written: onnx.ModelProto, layers: Mapping[str, int]) -> float:
    """The share of the multiply-adds that a written network does with integers.

    Args:
        written: QDQ or with operators on integers.
        layers: what `multiply_adds` gave of the network that it was made of.
    """
    made_of_integers = {
        node.output[0] for node in written.graph.node if node.op_type == "DequantizeLinear"
    }
    in_float = {
        node.name
        for node in written.graph.node
        if node.op_type in WITH_WEIGHTS and not made_of_integers.issuperset(node.input[:2])
    }
    total = sum(layers.values())
    integers = sum(count for name, count in layers.items() if name not in in_float)
    return integers / total if total else 0.0


def _products(node: onnx.NodeProto, weight: list[int]) -> int:
    """Multiply-adds for one value of a layer's output."""
    if node.op_type == "Conv":
        return int(np.prod(weight[1:]))
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return weight[-1] if transposed else weight[-2] if len(weight) > 1 else weight[0]
