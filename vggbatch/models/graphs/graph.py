"""Graph surgery: any classifier's ONNX graph becomes one that takes batches of images.

What the zoo's files need: opsets 3 and 6 raised to 7 (onnxruntime runs none below), initializers
taken out of the inputs (else they are no constants and nothing folds), the batch dimension freed
in the ports and in constant Reshape shapes, training-time Dropout dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, inliner, numpy_helper

from vggbatch.errors import UsageError
from vggbatch.models.graphs.ports import FLOATS, shape_of, upstream

OutputKind = Literal["logits", "probabilities"]

OLDEST_OPSET = 7
"""onnxruntime runs nothing older."""
OLDEST_IR = 4
"""The first in which an initializer need not be an input."""
BATCH = "N"

_OPSETS_STATED = 3
"""The IR version since which a file must name its operator sets."""
_LARGEST_MESSAGE = 2**31 - 1
"""Bytes that protobuf can write as one message."""
_DEFAULT = ("", "ai.onnx")
_STANDARD = (*_DEFAULT, "com.microsoft")
_INTEGER = {
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "ConvInteger",
}
"""Operators on integers whose names do not begin with Q."""

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
_DENSE = ("Gemm", "MatMul", "QGemm", "QLinearMatMul")
_CONVOLUTION = ("Conv", "QLinearConv")
_UPGRADED = {"Reshape", "Gemm", "Dropout", "BatchNormalization", "Add", "Sub", "Mul", "Div"}


def make_batchable(
    model: onnx.ModelProto,
    *,
    input_name: str,
    scores: str | None = None,
    binary: OutputKind | None = None,
    features: bool | str = False,
    free: bool = True,
    reshapes: bool | None = None,
) -> tuple[str, ...]:
    """Change a model in place so that its first dimension is free; returns the output names.

    Its input and outputs become float32, whatever type the file has.

    Args:
        model: any image classifier, weights included.
        input_name: its image input.
        scores: the tensor with the scores; None: the first output.
        binary: what the scores are where there is one per image: of the second of two classes. The
            other one's is added.
        features: add the activations of the last hidden layer, which the layer of the classes
            takes, as a second output, float32 [N, width]; or those of a tensor of this name.
        free: whether to free the batch dimension; else the batch stays as it is.
        reshapes: whether to free it in constant Reshape shapes too; None: where the input has it
            fixed.

    Raises:
        UsageError: an old operator that has no known equal in opset 7, a network in training mode,
            no layer to take features from, or nodes that wait for each other.
    """
    if model.functions and model.ByteSize() < _LARGEST_MESSAGE:
        model.CopyFrom(inliner.inline_local_functions(model))
    graph = model.graph
    sort_nodes(graph)
    constants = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(images)
    del graph.value_info[:]
    _upgrade(model)
    _choose_output(graph, scores or graph.output[0].name)
    if isinstance(features, str):
        _add_named_features(graph, features)
    _drop_dead(graph)
    if free:
        _remove_dropout(graph)
        fixed = next(shape_of(value)[0] for value in graph.input if value.name == input_name)
        if reshapes or (reshapes is None and fixed is not None):
            _free_reshapes(graph, fixed or 1)
        for value in (*graph.input, *graph.output):
            dimensions = value.type.tensor_type.shape.dim
            if len(dimensions):
                dimensions[0].Clear()
                dimensions[0].dim_param = BATCH
    if features is True:
        _add_features(graph)
    model.ir_version = max(model.ir_version, OLDEST_IR)
    _take_float(graph, input_name)
    for value in graph.output:
        _give_float(graph, value)
    if binary is not None:
        _add_other_class(graph, binary)
    return tuple(value.name for value in graph.output)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put each node after those whose results it takes, in place.

    ONNX demands that order. onnxruntime does not, and its quantizer writes other ones.

    Raises:
        UsageError: nodes take each other's results.
    """
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    before = {
        place: {makers[name] for name in _inputs(node) if name in makers}
        for place, node in enumerate(graph.node)
    }
    if all(place > max(earlier, default=-1) for place, earlier in before.items()):
        return
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        name = graph.node[error.args[1][0]].output[0]
        raise UsageError(f"the network is invalid: its tensor {name!r} depends on itself") from None
    nodes = [onnx.NodeProto.FromString(graph.node[place].SerializeToString()) for place in order]
    del graph.node[:]
    graph.node.extend(nodes)


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether any of it computes with integers."""
    return any(
        node.op_type.startswith("Q") or node.op_type in _INTEGER
        for node in model.graph.node
        if node.domain in _STANDARD  # a function of the file's own may be called Linear or Query
    )


def is_dynamically_quantized(model: onnx.ModelProto) -> bool:
    """Whether a scale is taken from the activations, and so from all images of a batch."""
    return any(
        node.op_type.startswith("DynamicQuantize")
        for node in model.graph.node
        if node.domain in _STANDARD
    )


def in_half(model: onnx.ModelProto) -> bool:
    """Whether weights or a port are in 16 bits, with which a network rounds after each layer."""
    types = {tensor.data_type for tensor in model.graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in model.graph.input}
    return not types.isdisjoint((TensorProto.FLOAT16, TensorProto.BFLOAT16))


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set; 1 where an old file does not say."""
    versions = (int(o.version) for o in model.opset_import if o.domain in _DEFAULT)
    return next(versions, 1 if model.ir_version < _OPSETS_STATED else OLDEST_OPSET)


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
            training = _attribute(node, "training_mode")
            if training is not None and training.i:
                raise UsageError(
                    f"BatchNormalization {node.name!r} is in training mode; export for inference"
                )
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
    used = {name for node in graph.node for name in _inputs(node)}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        _rename_inputs(node, renamed)
        wanted = outputs & set(node.output) or any(name in used for name in node.output[1:])
        if node.op_type != "Dropout" or node.domain not in _DEFAULT or wanted:
            kept.append(node)
            continue
        if len(node.input) == 3 and node.input[2] and _training(graph, node.input[2]):
            raise UsageError(f"Dropout {node.name!r} may be in training mode; export for inference")
        renamed[node.output[0]] = node.input[0]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)


def _training(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a switch is on, or not known to be off."""
    tensor = _constants(graph).get(name)
    return tensor is None or bool(numpy_helper.to_array(tensor).any())


def _inputs(node: onnx.NodeProto) -> set[str]:
    """What a node takes, the branches and bodies that it holds included."""
    names = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            names |= {value.name for value in body.output}
            for inner in body.node:
                names |= _inputs(inner)
    return names


def _rename_inputs(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """Give a node's inputs their new names, those in its branches and bodies too."""
    node.input[:] = [renamed.get(name, name) for name in node.input]
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                _rename_inputs(inner, renamed)
            for value in body.output:
                if value.name in renamed:
                    # a branch may give a tensor from outside only under a name of its own
                    own = f"{value.name}_inner"
                    body.node.append(helper.make_node("Identity", [renamed[value.name]], [own]))
                    value.name = own


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Name -> tensor of the initializers and the constants among the nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = _attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            found[node.output[0]] = value.t
    return found


def _free_reshapes(graph: onnx.GraphProto, batch: int) -> None:
    """Free the batch dimension of Reshapes whose constant shape begins with the batch."""
    constants = _constants(graph)
    for node in list(graph.node):
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if len(shape) < 2 or shape[0] != batch or node.input[0] in constants:
            continue
        # 0 copies the batch dimension; -1 says the same where another dimension is not already -1.
        shape[0] = 0 if -1 in shape[1:] else -1
        name = f"{node.output[0]}_batch_shape"
        graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name


def _choose_output(graph: onnx.GraphProto, name: str) -> None:
    """Leave one output; it may be a tensor within the graph."""
    values = {value.name: value for value in graph.output}
    chosen = values.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    output = onnx.ValueInfoProto.FromString(chosen.SerializeToString())
    del graph.output[:]
    graph.output.append(output)


def _drop_dead(graph: onnx.GraphProto) -> None:
    """Take out what no output needs: it may not take batches."""
    needed = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= _inputs(node)
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(reversed(kept))


def _take_float(graph: onnx.GraphProto, name: str) -> None:
    """Let an image input of another type take float32."""
    value = next(value for value in graph.input if value.name == name)
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.FLOAT:
        return
    inner = f"{name}_as_declared"
    for node in graph.node:
        _rename_inputs(node, {name: inner})
    graph.node.insert(0, helper.make_node("Cast", [name], [inner], to=kind))
    value.type.tensor_type.elem_type = TensorProto.FLOAT


def _give_float(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    """Let an output of another type give float32."""
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.FLOAT or kind not in FLOATS:
        return
    name = f"{value.name}_as_float"
    graph.node.append(helper.make_node("Cast", [value.name], [name], to=TensorProto.FLOAT))
    value.name = name
    value.type.tensor_type.elem_type = TensorProto.FLOAT


def _add_other_class(graph: onnx.GraphProto, kind: OutputKind) -> None:
    """Make two scores per image of one, which is the second class's."""
    one = graph.output[0].name
    names = [f"{one}_{part}" for part in ("column_shape", "column", "whole", "other", "both")]
    shape, column, whole, other, both = names
    whole_value = np.float32(1 if kind == "probabilities" else 0)
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], np.int64), shape))
    graph.initializer.append(numpy_helper.from_array(np.asarray(whole_value), whole))
    # the other one's logit is 0: whatever the score, their difference is what counts
    first = [whole, column] if kind == "probabilities" else [column, column]
    graph.node.extend(
        [
            helper.make_node("Reshape", [one, shape], [column]),
            helper.make_node("Sub", first, [other]),
            helper.make_node("Concat", [other, column], [both], axis=1),
        ]
    )
    graph.output[0].CopyFrom(helper.make_tensor_value_info(both, TensorProto.FLOAT, [None, 2]))


def _add_named_features(graph: onnx.GraphProto, name: str) -> None:
    """Add a tensor that the user named as an output, all values of an image in one row."""
    producers = {output: node for node in graph.node for output in node.output}
    if name not in producers:
        raise UsageError(f"model.features: the network has no tensor {name!r}")
    while producers[name].op_type == "Dropout" and producers[name].input[0] in producers:
        name = producers[name].input[0]  # Dropout is taken out
    _add_rows(graph, name)


def _add_features(graph: onnx.GraphProto) -> None:
    """Add what the layer of the classes takes as an output, dequantized if it is integers.

    That layer is dense, or a convolution of 1 x 1 as in MobileNet and SqueezeNet. What such a
    convolution takes is averaged over the positions, of which there is one after a global pooling.
    """
    last = next(
        (n for n in upstream(graph, graph.output[0].name) if n.op_type in (*_DENSE, *_CONVOLUTION)),
        None,
    )
    if last is None or (last.op_type in _CONVOLUTION and not _is_pointwise(graph, last)):
        raise UsageError(
            "--features needs a network that ends in a dense layer or a convolution of 1 x 1; this "
            "one does not: name the tensor with model.features"
        )
    name = last.input[0]
    if last.op_type.startswith("Q"):
        name = "features_float"
        graph.node.append(helper.make_node("DequantizeLinear", list(last.input[:3]), [name]))
    else:
        weight = _constants(graph).get(last.input[1])
        if weight is not None and weight.data_type in FLOATS - {TensorProto.FLOAT}:
            cast = "features_as_float"
            graph.node.append(helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT))
            name = cast
    if last.op_type in _CONVOLUTION:
        graph.node.append(helper.make_node("GlobalAveragePool", [name], ["features_pooled"]))
        _add_rows(graph, "features_pooled")
    else:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _add_rows(graph: onnx.GraphProto, name: str) -> None:
    """Add a tensor as an output of float32 with a row per image."""
    row, rows = "features_row", "features_rows"
    graph.node.append(helper.make_node("Flatten", [name], [row], axis=1))
    graph.node.append(helper.make_node("Cast", [row], [rows], to=TensorProto.FLOAT))
    graph.output.append(helper.make_tensor_value_info(rows, TensorProto.FLOAT, None))


def _is_pointwise(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a convolution's kernel is of 1 x 1, by its attribute or its weight's shape."""
    kernel = _attribute(node, "kernel_shape")
    if kernel is not None:
        return all(size == 1 for size in kernel.ints)
    weight = _constants(graph).get(node.input[3 if node.op_type.startswith("Q") else 1])
    return weight is not None and all(size == 1 for size in weight.dims[2:])
