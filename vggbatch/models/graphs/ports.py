"""What a network takes and gives, as its file declares it: the image input and what may be scores.

Files leave much of it out or name it oddly, so this is only the first look; what the scores are is
decided on a run of the network (see `trial` and `scores`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto

from vggbatch.errors import UsageError

Layout = Literal["NCHW", "NHWC"]

TAKEN = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
}
"""Types that an image input may have, by numpy's names."""
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}
"""Types that scores may have."""

_KEEPS_VALUES = {
    "Identity",
    "Reshape",
    "Cast",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Dropout",
    "QuantizeLinear",
    "DequantizeLinear",
    "Transpose",
    "ZipMap",
}
"""Operators that leave a distribution what it is."""


@dataclass(frozen=True)
class Ports:
    """What a classifier takes and gives."""

    input: str
    input_type: str
    """numpy's name of it."""
    input_shape: tuple[int | None, ...]
    """Batch first; None where the dimension is free."""
    outputs: tuple[str, ...]
    """Those that may be scores: tensors of floats."""
    described: str
    """All outputs with their types and shapes, for messages."""

    @property
    def batch(self) -> int | None:
        """Images in a run, None where that is free."""
        return self.input_shape[0]

    @property
    def layout(self) -> Layout | None:
        """Where the channels are, None where the shape leaves it open."""
        first, last = self.input_shape[1], self.input_shape[3]
        if (first == 3) == (last == 3):
            return None
        return "NCHW" if first == 3 else "NHWC"

    def size(self, layout: Layout) -> tuple[int, int] | None:
        """Height and width that the input asks for; None where one of them is free."""
        height, width = self.input_shape[2:] if layout == "NCHW" else self.input_shape[1:3]
        return None if height is None or width is None else (height, width)


def read_ports(model: onnx.ModelProto, input_name: str | None = None) -> Ports:
    """Find the image input among a model's ports, and the outputs that may be scores.

    Raises:
        UsageError: no or several inputs (or no such one), not four dimensions, values that no
            image has, or no output of floats.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    if input_name is None and len(inputs) != 1:
        if not inputs:
            raise UsageError("the model has no input: it is no network, or an export of constants")
        raise UsageError(
            f"the model has {len(inputs)} inputs ({', '.join(map(_described, inputs.values()))}); "
            "name the image's: model.input=..."
        )
    name = input_name or next(iter(inputs))
    if name not in inputs:
        raise UsageError(f"the model has no input {name!r}; it has {', '.join(inputs)}")
    if len(inputs) > 1:
        others = ", ".join(_described(v) for key, v in inputs.items() if key != name)
        raise UsageError(
            f"the model takes more than the image {name!r}: {others}; export it with those as "
            "constants"
        )
    kind = inputs[name].type.tensor_type.elem_type
    shape = shape_of(inputs[name])
    if kind not in TAKEN or len(shape) != 4:
        raise UsageError(
            f"input {_described(inputs[name])} is no batch of images; an image classifier takes "
            "float or uint8 [N, C, H, W] or [N, H, W, C]"
        )
    outputs = tuple(_score_outputs(graph))
    described = ", ".join(map(_described, graph.output)) or "none"
    if not outputs:
        raise UsageError(
            f"the model has no output of scores: its outputs are {described}; export it with the "
            "scores or probabilities of all classes as an output of floats"
        )
    return Ports(name, TAKEN[kind], shape, outputs, described)


def probable(graph: onnx.GraphProto, output: str) -> str | None:
    """The operator that makes probabilities of scores, where nothing but moving them follows it.

    Returns:
        Softmax, LogSoftmax, Sigmoid or the like, by the name of its float form; None without.
    """
    for node in upstream(graph, output):
        kind = node.op_type.removeprefix("QLinear")
        if kind in ("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid"):
            return kind
        if node.op_type not in _KEEPS_VALUES or node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            return None
    return None


def map_labels(graph: onnx.GraphProto) -> tuple[str, ...] | None:
    """The class of each score, where an output is a map from class to score (ZipMap)."""
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "ZipMap" and node.output[0] in outputs:
            values = [onnx.helper.get_attribute_value(a) for a in node.attribute]
            return tuple(
                label.decode(errors="replace") if isinstance(label, bytes) else str(label)
                for label in next(filter(None, values), ())
            )
    return None


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """The dimensions that a port declares; None where one is free, 0 and -1 as some write it."""
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.dim_value > 0 else None for d in dimensions)


def upstream(graph: onnx.GraphProto, name: str) -> Iterator[onnx.NodeProto]:
    """The chain of nodes that leads to a tensor, from it backwards along first inputs."""
    producers = {output: node for node in graph.node for output in node.output}
    while name in producers:
        node = producers[name]
        yield node
        name = node.input[0] if node.input else ""


def _score_outputs(graph: onnx.GraphProto) -> Iterator[str]:
    """Outputs of floats; of a map from class to probability, the tensor that it is made of.

    The best few of an image's scores are none of them: sorted, they have lost their classes.
    """
    producers = {output: node for node in graph.node for output in node.output}
    for value in graph.output:
        kind = value.type.WhichOneof("value")
        if kind == "tensor_type" and value.type.tensor_type.elem_type in FLOATS:
            if not _is_sorted(graph, value.name):
                yield value.name
        elif kind == "sequence_type" and value.name in producers:
            node = producers[value.name]
            if node.op_type == "ZipMap":
                yield node.input[0]


def _is_sorted(graph: onnx.GraphProto, output: str) -> bool:
    """Whether nothing but moving and normalizing values follows a TopK."""
    for node in upstream(graph, output):
        if node.op_type == "TopK":
            return True
        if node.op_type not in _KEEPS_VALUES | {"Softmax", "LogSoftmax", "Sigmoid"}:
            return False
    return False


def _described(value: onnx.ValueInfoProto) -> str:
    if value.type.WhichOneof("value") != "tensor_type":
        return f"{value.name!r} (no tensor)"
    kind = value.type.tensor_type
    name = TensorProto.DataType.Name(kind.elem_type).lower()
    if not kind.HasField("shape"):
        return f"{value.name!r} {name} of an unknown shape"
    dims = ", ".join(
        str(d.dim_value) if d.dim_value > 0 else d.dim_param or "?" for d in kind.shape.dim
    )
    return f"{value.name!r} {name} [{dims}]"
