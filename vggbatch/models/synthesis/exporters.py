"""The zoo's fp32 graphs as MXNet and caffe2 exported them, with their own names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from vggbatch.models.synthesis.builder import CONV, SyntheticBuilder

MXNET_CONV: dict[str, Any] = CONV | {"dilations": [1, 1], "group": 1}
GEMM: dict[str, Any] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


def mxnet_graph(builder: SyntheticBuilder) -> onnx.ModelProto:
    """Gluon's VGG through MXNet's exporter; `flatten_70` counts the nodes of MXNet's own graph."""
    batch_norm = builder.entry.batch_norm
    x, channels, index, mxnet_nodes = "data", 3, 0, 1
    for block, widths in enumerate(builder.widths()):
        for width in widths:
            prefix = f"vgg0_conv{index}"
            weight, bias = builder.parameters((width, channels, 3, 3))
            inputs = [x, builder.tensor(f"{prefix}_weight", weight)]
            inputs += [builder.tensor(f"{prefix}_bias", bias)]
            x = builder.node("Conv", inputs, f"{prefix}_fwd", name=f"{prefix}_fwd", **MXNET_CONV)
            if batch_norm:
                x = _batch_norm(builder, x, index, width)
            x = builder.node("Relu", [x], f"vgg0_relu{index}_fwd", name=f"vgg0_relu{index}_fwd")
            channels, index = width, index + 1
            mxnet_nodes += 9 if batch_norm else 4
        x = builder.pool(x, f"vgg0_pool{block}_fwd", name=f"vgg0_pool{block}_fwd")
        mxnet_nodes += 1
    for index, shape in enumerate(builder.dense_shapes()):
        prefix, flatten = f"vgg0_dense{index}", f"flatten_{mxnet_nodes + 2}"
        weight, bias = builder.parameters(shape)
        inputs = [builder.node("Flatten", [x], flatten, name=flatten)]
        inputs += [
            builder.tensor(f"{prefix}_weight", weight),
            builder.tensor(f"{prefix}_bias", bias),
        ]
        x = builder.node("Gemm", inputs, f"{prefix}_fwd", name=f"{prefix}_fwd", **GEMM)
        mxnet_nodes += 5
        if index < 2:
            x = builder.node("Relu", [x], f"{prefix}_relu_fwd", name=f"{prefix}_relu_fwd")
            dropout = f"vgg0_dropout{index}_fwd"
            # From opset 12 on, the ratio is an input, and inference needs none.
            ratio = {"ratio": 0.5} if builder.entry.opset < 12 else {}
            x = builder.node("Dropout", [x], dropout, name=dropout, **ratio)
    return builder.model(x, ir_version=3 if builder.entry.opset < 12 else 7)


def _batch_norm(builder: SyntheticBuilder, x: str, index: int, width: int) -> str:
    prefix, uniform = f"vgg0_batchnorm{index}", builder.weights.uniform
    variance = uniform(index, 2, width, 0.5, 2.0)
    gamma = uniform(index, 3, width, 0.8, 1.2) * np.sqrt(variance)
    inputs = [
        x,
        builder.tensor(f"{prefix}_gamma", gamma),
        builder.tensor(f"{prefix}_beta", uniform(index, 4, width, -0.1, 0.1)),
        builder.tensor(f"{prefix}_running_mean", uniform(index, 5, width, -0.1, 0.1)),
        builder.tensor(f"{prefix}_running_var", variance),
    ]
    attributes: dict[str, Any] = {"epsilon": 1e-5, "momentum": 0.9, "spatial": 1}
    name = f"{prefix}_fwd"
    return builder.node("BatchNormalization", inputs, name, name=name, **attributes)


def caffe2_graph(builder: SyntheticBuilder) -> onnx.ModelProto:
    """The graph of the onnx wheel's light_vgg19.onnx, with the blob versions that caffe2 counts."""
    opset = builder.entry.opset
    x, channels = "data_0", 3
    for block, widths in enumerate(builder.widths(), 1):
        for index, width in enumerate(widths, 1):
            name = f"conv{block}_{index}"
            weight, bias = builder.parameters((width, channels, 3, 3))
            inputs = [x, builder.tensor(f"{name}_w_0", weight), builder.tensor(f"{name}_b_0", bias)]
            x = builder.node("Conv", inputs, f"{name}_1", **CONV)
            x = builder.node("Relu", [x], f"{name}_2")
            channels = width
        x = builder.pool(x, f"pool{block}_1")
    shapes = builder.dense_shapes()
    flat = [1, shapes[0][1]]
    if opset < 5:
        x = builder.node("Reshape", [x], "OC2_DUMMY_0", shape=flat)
    else:
        constant = builder.tensor("OC2_DUMMY_1", np.array(flat, np.int64))
        x = builder.node("Reshape", [x, constant], "OC2_DUMMY_0")
    for index, shape in enumerate(shapes, 6):
        weight, bias = builder.parameters(shape)
        inputs = [
            x,
            builder.tensor(f"fc{index}_w_0", weight),
            builder.tensor(f"fc{index}_b_0", bias),
        ]
        broadcast: dict[str, Any] = {"broadcast": 1} if opset < 7 else {}
        x = builder.node("Gemm", inputs, f"fc{index}_1", transB=1, **broadcast)
        if index < 8:
            x = builder.node("Relu", [x], f"fc{index}_2")
            test: dict[str, Any] = {"is_test": 1} if opset < 7 else {}
            x = builder.node("Dropout", [x], f"fc{index}_3", ratio=0.5, **test)
            builder.nodes[-1].output.append(f"_fc{index}_mask_1")
    x = builder.node("Softmax", [x], "prob_1")
    return builder.model(x, ir_version=3)
