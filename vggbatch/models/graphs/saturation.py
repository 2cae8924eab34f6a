"""Which products of uint8 by int8 in a network a processor that cuts their sums off gets wrong."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import uses_external_data

_NARROW = 64
"""Two products of uint8 by int8 values of no larger size fit in 16 bits: 2 x 255 x 64 < 2**15. So
onnxruntime leaves constants of 7 bits as they are."""
_TYPES = {
    "QLinearConv": (2, 3, 5),
    "QLinearMatMul": (2, 3, 5),
    "QGemm": (2, 3, 5),
    "MatMulInteger": (2, 1, 3),
    "MatMulIntegerToFloat": (4, 1, 5),
    "DynamicQuantizeMatMul": (None, 1, 3),
    "QAttention": (6, 1, 7),
}
"""Operator -> positions of the first factor's zero point, of the second factor and of its zero
point, whose types are the factors'. ConvInteger is exact everywhere (measured)."""


def inexact_products(model: onnx.ModelProto) -> list[str]:
    """Nodes of a graph, optimized by onnxruntime, whose uint8 by int8 products may be cut off.

    Args:
        model: weights in other files need not be there; they count as of 8 bits then.

    Returns:
        Operator and output of each. What cannot be known counts as uint8 for the first factor and
        as int8 of 8 bits for the second.
    """
    found = _inexact(model.graph, {}, frozenset())
    return [f"{node.op_type} {node.output[0]!r}" for node in found]


def unshare_integers(model: onnx.ModelProto) -> bool:
    """Give each use of an int8 constant a copy of its own, in place.

    onnxruntime turns the constants of a product into uint8 under a new name, and fails where two
    products share one.

    Returns:
        Whether any was shared.
    """
    graph = model.graph
    constants = {t.name: t for t in graph.initializer if t.data_type == TensorProto.INT8}
    seen: set[str] = set()
    copies = 0
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in seen:
                copies += 1
                copy = graph.initializer.add()
                copy.CopyFrom(constants[name])
                copy.name = node.input[position] = f"{name}_copy{copies}"
            elif name in constants:
                seen.add(name)
    return copies > 0


def _inexact(
    graph: onnx.GraphProto, outer: dict[str, int], narrow: frozenset[str]
) -> Iterator[onnx.NodeProto]:
    values = [*graph.input, *graph.value_info, *graph.output]
    types = outer | {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    narrow |= {tensor.name for tensor in graph.initializer if _is_narrow(tensor)}
    for node in graph.node:
        if node.op_type.startswith("DynamicQuantizeLinear"):
            types |= {node.output[0]: TensorProto.UINT8, node.output[2]: TensorProto.UINT8}
        if node.op_type in _TYPES and _is_inexact(node, types, narrow):
            yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _inexact(inner, types, narrow)


def _is_narrow(tensor: onnx.TensorProto) -> bool:
    """Whether all values of an int8 constant have 7 bits."""
    if tensor.data_type != TensorProto.INT8 or uses_external_data(tensor):
        return False
    values = numpy_helper.to_array(tensor)
    return bool(values.size and values.min() >= -_NARROW and values.max() <= _NARROW)


def _is_inexact(node: onnx.NodeProto, types: dict[str, int], narrow: frozenset[str]) -> bool:
    first, second, zero = _TYPES[node.op_type]
    names = list(node.input)

    def type_at(position: int | None) -> int | None:
        present = position is not None and position < len(names)
        return types.get(names[position]) if present and position is not None else None

    left = type_at(first) or (type_at(0) if node.op_type == "MatMulInteger" else None)
    right = type_at(second) or type_at(zero)
    exact = right == TensorProto.UINT8 or node.input[second] in narrow
    return left != TensorProto.INT8 and not exact
