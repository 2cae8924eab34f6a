"""The zoo's fp32 graphs as MXNet and caffe2 exported them, with their own names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from vggbatch.models.synthesis.builder import CONV, TwinBuilder

MXNET_CONV: dict[str, Any] = CONV | {"dilations": [1, 1], "group": 1}
GEMM: dict[str, Any] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


def mxnet_graph(twin: TwinBuilder) -> onnx.ModelProto:
    """Gluon's VGG through MXNet's exporter; `flatten_70` counts the nodes of MXNet's own graph."""
    batch_norm = twin.entry.batch_norm
    x, channels, index, mxnet_nodes = "data", 3, 0, 1
    for block, widths in enumerate(twin.widths()):
        for width in widths:
            prefix = f"vgg0_conv{index}"
            weight, bias = twin.parameters((width, channels, 3, 3))
            inputs = [x, twin.tensor(f"{prefix}_weight", weight)]
            inputs += [twin.tensor(f"{prefix}_bias", bias)]
            x = twin.node("Conv", inputs, f"{prefix}_fwd", name=f"{prefix}_fwd", **MXNET_CONV)
            if batch_norm:
                x = _batch_norm(twin, x, index, width)
            x = twin.node("Relu", [x], f"vgg0_relu{index}_fwd", name=f"vgg0_relu{index}_fwd")
            channels, index = width, index + 1
            mxnet_nodes += 9 if batch_norm else 4
        x = twin.pool(x, f"vgg0_pool{block}_fwd", name=f"vgg0_pool{block}_fwd")
        mxnet_nodes += 1
    for index, shape in enumerate(twin.dense_shapes()):
        prefix, flatten = f"vgg0_dense{index}", f"flatten_{mxnet_nodes + 2}"
        weight, bias = twin.parameters(shape)
        inputs = [twin.node("Flatten", [x], flatten, name=flatten)]
        inputs += [twin.tensor(f"{prefix}_weight", weight), twin.tensor(f"{prefix}_bias", bias)]
        x = twin.node("Gemm", inputs, f"{prefix}_fwd", name=f"{prefix}_fwd", **GEMM)
        mxnet_nodes += 5
        if index < 2:
            x = twin.node("Relu", [x], f"{prefix}_relu_fwd", name=f"{prefix}_relu_fwd")
            dropout = f"vgg0_dropout{index}_fwd"
            # From opset 12 on, the ratio is an input, and inference needs none.
            ratio = {"ratio": 0.5} if twin.entry.opset < 12 else {}
            x = twin.node("Dropout", [x], dropout, name=dropout, **ratio)
    return twin.model(x, ir_version=3 if twin.entry.opset < 12 else 7)


def _batch_norm(twin: TwinBuilder, x: str, index: int, width: int) -> str:
    prefix, uniform = f"vgg0_batchnorm{index}", twin.weights.uniform
    variance = uniform(index, 2, width, 0.5, 2.0)
    gamma = uniform(index, 3, width, 0.8, 1.2) * np.sqrt(variance)
    inputs = [
        x,
        twin.tensor(f"{prefix}_gamma", gamma),
        twin.tensor(f"{prefix}_beta", uniform(index, 4, width, -0.1, 0.1)),
        twin.tensor(f"{prefix}_running_mean", uniform(index, 5, width, -0.1, 0.1)),
        twin.tensor(f"{prefix}_running_var", variance),
    ]
    attributes: dict[str, Any] = {"epsilon": 1e-5, "momentum": 0.9, "spatial": 1}
    name = f"{prefix}_fwd"
    return twin.node("BatchNormalization", inputs, name, name=name, **attributes)


def caffe2_graph(twin: TwinBuilder) -> onnx.ModelProto:
    """The graph of the onnx wheel's light_vgg19.onnx, with the blob versions that caffe2 counts."""
    opset = twin.entry.opset
    x, channels = "data_0", 3
    for block, widths in enumerate(twin.widths(), 1):
        for index, width in enumerate(widths, 1):
            name = f"conv{block}_{index}"
            weight, bias = twin.parameters((width, channels, 3, 3))
            inputs = [x, twin.tensor(f"{name}_w_0", weight), twin.tensor(f"{name}_b_0", bias)]
            x = twin.node("Conv", inputs, f"{name}_1", **CONV)
            x = twin.node("Relu", [x], f"{name}_2")
            channels = width
        x = twin.pool(x, f"pool{block}_1")
    shapes = twin.dense_shapes()
    flat = [1, shapes[0][1]]
    if opset < 5:
        x = twin.node("Reshape", [x], "OC2_DUMMY_0", shape=flat)
    else:
        constant = twin.tensor("OC2_DUMMY_1", np.array(flat, np.int64))
        x = twin.node("Reshape", [x, constant], "OC2_DUMMY_0")
    for index, shape in enumerate(shapes, 6):
        weight, bias = twin.parameters(shape)
        inputs = [x, twin.tensor(f"fc{index}_w_0", weight), twin.tensor(f"fc{index}_b_0", bias)]
        broadcast: dict[str, Any] = {"broadcast": 1} if opset < 7 else {}
        x = twin.node("Gemm", inputs, f"fc{index}_1", transB=1, **broadcast)
        if index < 8:
            x = twin.node("Relu", [x], f"fc{index}_2")
            test: dict[str, Any] = {"is_test": 1} if opset < 7 else {}
            x = twin.node("Dropout", [x], f"fc{index}_3", ratio=0.5, **test)
            twin.nodes[-1].output.append(f"_fc{index}_mask_1")
    x = twin.node("Softmax", [x], "prob_1")
    return twin.model(x, ir_version=3)
