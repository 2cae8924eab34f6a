"""Small networks that tell images apart: their scores depend on the colors of every part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
CLASSES = 1000


def color_net(path: Path, *, softmax: bool = False, batch: int | str = "N", seed: int = 0) -> Path:
    """Average colors of 64 cells through one random dense layer.

    Input `data` [batch, 3, 32, 32], output `scores` [batch, 1000]; logits, or with `softmax`
    probabilities.
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 0.5, (CLASSES, 3 * 64)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node(
            "Gemm", ["flat", "weight"], ["scores" if not softmax else "raw"], transB=1
        ),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["raw"], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    path.with_suffix(".yaml").write_text(f"preprocess: {{resize: {SIZE + 4}, crop: {SIZE}}}\n")
    return path


def hidden_net(path: Path) -> Path:
    """`color_net` with 4096 hidden units, as fc7 has, between the colors and the scores.

    The units' weights are in the constant `hidden` [4096, 192]; a ReLU follows.
    """
    model = onnx.load(color_net(path))
    graph = model.graph
    rng = np.random.default_rng(1)
    hidden = rng.normal(0, 0.1, (4096, 3 * 64)).astype(np.float32)
    last = rng.normal(0, 0.1, (CLASSES, 4096)).astype(np.float32)
    del graph.node[-1], graph.initializer[:]
    graph.initializer.extend(
        [numpy_helper.from_array(hidden, "hidden"), numpy_helper.from_array(last, "last")]
    )
    graph.node.append(helper.make_node("Gemm", ["flat", "hidden"], ["units"], transB=1))
    graph.node.append(helper.make_node("Relu", ["units"], ["fc7"]))
    graph.node.append(helper.make_node("Gemm", ["fc7", "last"], ["scores"], transB=1))
    onnx.save(model, path)
    return path


def slow_net(path: Path, *, convolutions: int = 4) -> Path:
    """The same scores as `color_net` for about a thousand times the arithmetic.

    Each convolution of 256 channels takes a core about 30 ms.
    """
    model = onnx.load(color_net(path))
    graph = model.graph
    rng = np.random.default_rng(0)
    graph.node[-1].output[0] = "colors"
    source, channels = "data", 3
    for number in range(convolutions + 1):
        weight = rng.normal(0, 1 / np.sqrt(9 * channels), (256, channels, 3, 3))
        graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        names = [source, f"w{number}"]
        graph.node.append(helper.make_node("Conv", names, [f"c{number}"], pads=[1, 1, 1, 1]))
        source, channels = f"c{number}", 256
    zeros = np.zeros((256, CLASSES), np.float32)
    graph.initializer.append(numpy_helper.from_array(zeros, "zeros"))
    graph.node.append(helper.make_node("GlobalAveragePool", [source], ["pooled"]))
    graph.node.append(helper.make_node("Flatten", ["pooled"], ["row"]))
    graph.node.append(helper.make_node("MatMul", ["row", "zeros"], ["nothing"]))
    graph.node.append(helper.make_node("Add", ["colors", "nothing"], ["scores"]))
    onnx.save(model, path)
    return path
