"""Graph surgery: any classifier's ONNX graph becomes one that takes batches of images.

What the zoo's files need: opsets 3 and 6 raised to 7 (onnxruntime runs none below), initializers
taken out of the inputs (else they are no constants and nothing folds), the batch dimension freed
in the ports and in constant Reshape shapes, training-time Dropout dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vggbatch.errors import UsageError

OLDEST_OPSET = 7
"""onnxruntime runs nothing older."""
OLDEST_IR = 4
"""The first in which an initializer need not be an input."""
BATCH = "N"

_UNCHANGED_SINCE_1 = {
    "Conv",
    "Relu",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Flatten",
    "Softmax",
    "Concat",
    "Transpose",
    "Constant",
    "Identity",
    "MatMul",
    "LRN",
}
"""Operators whose opset 7 form computes what older forms do, once `consumed_inputs` is gone."""
_UPGRADED = {"Reshape", "Gemm", "Dropout", "BatchNormalization", "Add", "Sub", "Mul", "Div"}


@dataclass(frozen=True)
class Ports:
    """What a classifier takes and gives."""

    input: str
    input_shape: tuple[int | None, ...]
    """Batch first; None where the dimension is free."""
    output: str
    classes: int | None
    """Width of the output; None if the file does not say."""
    output_kind: Literal["logits", "probabilities"]


def read_ports(model: onnx.ModelProto, input_name: str | None = None) -> Ports:
    """Find the image input and the scores among a model's ports.

    Raises:
        UsageError: no or several inputs (or no such one), not float32, not four dimensions.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    if input_name is None and len(inputs) != 1:
        names = ", ".join(inputs) or "none"
        raise UsageError(f"the model has {len(inputs)} inputs ({names}); name one: model.input=...")
    name = input_name or next(iter(inputs))
    if name not in inputs:
        raise UsageError(f"the model has no input {name!r}; it has {', '.join(inputs)}")
    tensor_type = inputs[name].type.tensor_type
    shape = _shape(inputs[name])
    if tensor_type.elem_type != TensorProto.FLOAT or len(shape) != 4:
        kind = TensorProto.DataType.Name(tensor_type.elem_type).lower()
        raise UsageError(
            f"input {name!r} is {kind} {list(shape)}; an image classifier takes float [N, C, H, W]"
        )
    output = graph.output[0]
    last = next((node for node in graph.node if output.name in node.output), None)
    out_shape = _shape(output)
    return Ports(
        input=name,
        input_shape=shape,
        output=output.name,
        classes=out_shape[-1] if out_shape else None,
        output_kind="probabilities" if last and last.op_type == "Softmax" else "logits",
    )


def make_batchable(
    model: onnx.ModelProto, *, input_name: str, features: bool = False
) -> tuple[str, ...]:
    """Change a model in place so that its first dimension is free; returns the output names.

    Args:
        model: any image classifier, weights included.
        input_name: its image input.
        features: add the activations that the last dense layer takes as a second output, float32
            [N, width].

    Raises:
        UsageError: an old operator that has no known equal in opset 7, a network in training mode,
            or no dense layer to take features from.
    """
    graph = model.graph
    fixed = next(_shape(value)[0] for value in graph.input if value.name == input_name) == 1
    constants = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(images)
    del graph.value_info[:]
    _upgrade(model)
    _remove_dropout(graph)
    if fixed:
        _free_reshapes(graph)
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if len(dimensions):
            dimensions[0].Clear()
            dimensions[0].dim_param = BATCH
    model.ir_version = max(model.ir_version, OLDEST_IR)
    del graph.output[1:]
    if features:
        _add_features(graph)
    return tuple(value.name for value in graph.output)


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether any of it computes with integers."""
    return any("Linear" in kind or kind.startswith("Q") for kind in operators(model))


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return next(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dimensions)


def _attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    return next((a for a in node.attribute if a.name == name), None)


def _drop_attributes(node: onnx.NodeProto, *names: str) -> None:
    kept = [a for a in node.attribute if a.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _upgrade(model: onnx.ModelProto) -> None:
    """Bring the attributes of opsets below 7 to their opset 7 form."""
    old = opset(model)
    for node in model.graph.node:
        # MXNet wrote spatial=0 with per-channel statistics, which only spatial=1 can mean.
        if node.op_type == "BatchNormalization":
            _drop_attributes(node, "spatial")
    if old >= OLDEST_OPSET:
        return
    for node in model.graph.node:
        if node.op_type not in _UNCHANGED_SINCE_1 | _UPGRADED:
            raise UsageError(
                f"operator {node.op_type} of opset {old} has no known equal in opset 7"
            )
        if node.op_type in ("Add", "Sub", "Mul", "Div") and _attribute(node, "axis"):
            raise UsageError(f"{node.op_type} with an axis (opset {old}) is not supported")
        shape = _attribute(node, "shape") if node.op_type == "Reshape" else None
        if shape is not None:
            name = f"{node.output[0]}_shape"
            value = np.array(shape.ints, np.int64)
            model.graph.initializer.append(numpy_helper.from_array(value, name))
            node.input.append(name)
        _drop_attributes(node, "shape" if shape is not None else "", "consumed_inputs", "is_test")
        if node.op_type in ("Gemm", "Add", "Sub", "Mul", "Div"):
            _drop_attributes(node, "broadcast")
        if node.op_type == "BatchNormalization":
            del node.output[1:]
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OLDEST_OPSET


def _remove_dropout(graph: onnx.GraphProto) -> None:
    """Take out Dropout, which does nothing at inference, and its unused mask."""
    outputs = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type != "Dropout" or node.output[0] in outputs:
            kept.append(node)
            continue
        if len(node.input) == 3 and node.input[2]:
            raise UsageError(f"Dropout {node.name!r} may be in training mode; export for inference")
        renamed[node.output[0]] = node.input[0]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)


def _free_reshapes(graph: onnx.GraphProto) -> None:
    """Free the batch dimension of Reshapes whose constant shape begins with 1."""
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = _attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            initializers[node.output[0]] = value.t
    for node in list(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in initializers:
            continue
        shape = numpy_helper.to_array(initializers[node.input[1]]).copy()
        if len(shape) < 2 or shape[0] != 1:
            continue
        # 0 copies the batch dimension; -1 says the same where another dimension is not already -1.
        shape[0] = 0 if -1 in shape[1:] else -1
        name = f"{node.output[0]}_batch_shape"
        graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name


def _upstream(graph: onnx.GraphProto, name: str) -> Iterator[onnx.NodeProto]:
    """The chain of nodes that leads to a tensor, from it backwards along first inputs."""
    producers = {output: node for node in graph.node for output in node.output}
    while name in producers:
        node = producers[name]
        yield node
        name = node.input[0] if node.input else ""


def _add_features(graph: onnx.GraphProto) -> None:
    """Add the input of the last dense layer as an output, dequantized if it is integers."""
    dense = ("Gemm", "MatMul", "QGemm", "QLinearMatMul")
    last = next((n for n in _upstream(graph, graph.output[0].name) if n.op_type in dense), None)
    if last is None:
        raise UsageError("--features needs a network that ends in a dense layer; this one does not")
    name = last.input[0]
    if last.op_type.startswith("Q"):
        name = "features_float"
        graph.node.append(helper.make_node("DequantizeLinear", list(last.input[:3]), [name]))
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, None]))
