"""Networks that may compute without end: loops whose number of turns nothing bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from vggbatch.errors import UsageError

_MOST_TURNS = 10_000
"""Of a loop, those of the loops that it is in multiplied."""
_DEEPEST = 16
"""Graphs inside graphs."""


def check_ends(model: onnx.ModelProto, name: str) -> None:
    """Refuse a network with a loop that may never end.

    A Loop runs until its condition is false, or so many times as its first input says: it must be a
    constant. onnxruntime may run one while it optimizes, before an image is there.

    Raises:
        UsageError: names the loop.
    """
    constants = _constants(model.graph, {})
    _check(model.graph.node, constants, 1, 0, name)
    for function in model.functions:
        _check(function.node, _of_nodes(function.node, {}), 1, 0, name)


def _check(
    nodes: Iterable[onnx.NodeProto],
    constants: dict[str, onnx.TensorProto],
    turns: int,
    depth: int,
    name: str,
) -> None:
    if depth > _DEEPEST:
        raise UsageError(f"{name} has graphs nested more than {_DEEPEST} deep")
    for node in nodes:
        inside = turns
        if node.op_type == "Loop":
            inside *= _count(node, constants)
            if inside > _MOST_TURNS:
                raise UsageError(
                    f"{name} may compute without end: its loop {node.name or node.output[0]!r} has "
                    f"no constant count of at most {_MOST_TURNS} turns; export it without the loop"
                )
        for graph in _graphs(node):
            _check(graph.node, _constants(graph, constants), inside, depth + 1, name)


def _count(loop: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> int:
    """Turns that a loop takes at most; too many where its count is not known."""
    tensor = constants.get(loop.input[0]) if loop.input and loop.input[0] else None
    if tensor is None or tensor.external_data or len(tensor.dims) > 1:
        return _MOST_TURNS + 1
    try:
        values = numpy_helper.to_array(tensor).reshape(-1)
    except (TypeError, ValueError, KeyError):
        return _MOST_TURNS + 1
    return max(0, int(values[0])) if len(values) == 1 else _MOST_TURNS + 1


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _constants(
    graph: onnx.GraphProto, outer: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TensorProto]:
    """Values that are known in a graph, also of those around it, by their names."""
    known = _of_nodes(graph.node, outer)
    return known | {tensor.name: tensor for tensor in graph.initializer}


def _of_nodes(
    nodes: Iterable[onnx.NodeProto], outer: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TensorProto]:
    known = dict(outer)
    for node in nodes:
        for output in node.output:
            known.pop(output, None)
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                known[node.output[0]] = attribute.t
            elif attribute.name == "value_int":
                known[node.output[0]] = numpy_helper.from_array(np.array(attribute.i))
    return known
