"""The zoo's int8 graphs: vgg16-12 as Intel's Neural Compressor quantized it, QOperator and QDQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from vggbatch.models.synthesis.builder import CONV, SyntheticBuilder

ACTIVATION_MAX = 10.0
"""Upper end of the activations' quantization range, in deviations; ReLU makes the lower end 0."""
INPUT_RANGE = (-2.118, 2.64)
"""Of an image normalized with ImageNet's mean and deviation."""
LOGIT_RANGE = (-12.0, 12.0)


class _QOperator:
    """Integers all the way: QLinearConv and QGemm, with ReLU in their saturation."""

    domains: tuple[str, ...] = ("com.microsoft",)

    def __init__(self, builder: SyntheticBuilder) -> None:
        self.builder = builder
        self.scales: dict[str, np.float32] = {}

    def constant(self, name: str, scale: float, zero_point: Any, value: Any = None) -> list[str]:
        """A scale and a zero point, after their integers if there are any, as tensor names."""
        self.scales[name] = np.float32(scale)
        names = [] if value is None else [self.builder.tensor(f"{name}_quantized", value)]
        names.append(self.builder.tensor(f"{name}_scale", np.array(scale, np.float32)))
        return [*names, self.builder.tensor(f"{name}_zero_point", zero_point)]

    def range(self, name: str, low: float, high: float) -> list[str]:
        """Scale and zero point of a uint8 activation."""
        scale = (high - low) / 255
        return self.constant(name, scale, np.array(round(-low / scale), np.uint8))

    def parameters(self, layer: str, shape: Sequence[int], x: str) -> tuple[list[str], list[str]]:
        """Per-tensor int8 weight, and int32 bias in steps of input scale times weight scale."""
        weight, bias = self.builder.parameters(shape)
        scale = np.float32(np.abs(weight).max()) / np.float32(127)
        step = self.scales[x] * scale
        integers = np.rint(weight / scale).astype(np.int8)
        return (
            self.constant(f"{layer}_weight", float(scale), np.array(0, np.int8), integers),
            self.constant(
                f"{layer}_bias",
                float(step),
                np.array(0, np.int32),
                np.rint(bias / step).astype("i4"),
            ),
        )

    def image(self) -> str:
        """The quantized input."""
        inputs = ["data", *self.range("data", *INPUT_RANGE)]
        self.builder.node("QuantizeLinear", inputs, "data_quantized", name="data_QuantizeLinear")
        return "data"

    def layer(self, layer: str, shape: Sequence[int], x: str, relu: str) -> str:
        """A convolution or dense layer with its ReLU."""
        weight, bias = self.parameters(layer, shape, x)
        name = relu or f"{layer}_fwd"
        y = self.range(name, *((0.0, ACTIVATION_MAX) if relu else LOGIT_RANGE))
        inputs = [f"{x}_quantized", f"{x}_scale", f"{x}_zero_point", *weight]
        if len(shape) == 4:
            inputs += [*y, bias[0]]
            self.builder.node(
                "QLinearConv", inputs, f"{name}_quantized", name=f"{layer}_fwd_quant", **CONV
            )
        else:
            inputs += [bias[0], *y]
            options: dict[str, Any] = {"domain": "com.microsoft", "transB": 1}
            self.builder.node(
                "QGemm", inputs, f"{name}_quantized", name=f"{layer}_fwd_quant", **options
            )
        return name

    def pool(self, x: str, name: str) -> str:
        """Max-pooling of the integers, in the same steps."""
        self.builder.pool(f"{x}_quantized", f"{name}_quantized", name=name)
        return self.same_steps(x, name)

    def flatten(self, x: str, name: str) -> str:
        """Flattening of the integers, in the same steps."""
        self.builder.node("Flatten", [f"{x}_quantized"], f"{name}_quantized", name=name)
        return self.same_steps(x, name)

    def same_steps(self, x: str, name: str) -> str:
        """Give a tensor the scale and zero point of another."""
        self.scales[name] = self.scales[x]
        zero_point = np.array(0, np.uint8)
        self.constant(name, float(self.scales[x]), zero_point)
        return name

    def logits(self, x: str) -> None:
        """Back to float32."""
        inputs = [f"{x}_quantized", f"{x}_scale", f"{x}_zero_point"]
        self.builder.node("DequantizeLinear", inputs, x, name=f"{x}_DequantizeLinear")


class _Qdq(_QOperator):
    """Float operators between QuantizeLinear and DequantizeLinear pairs."""

    domains = ()

    def pair(self, x: str, low: float, high: float) -> str:
        """Quantize an activation and dequantize it again."""
        ports = self.range(x, low, high)
        self.builder.node(
            "QuantizeLinear", [x, *ports], f"{x}_quantized", name=f"{x}_QuantizeLinear"
        )
        self.dequantize(x)
        return x

    def dequantize(self, x: str) -> str:
        """The float32 form of a quantized tensor."""
        inputs = [f"{x}_quantized", f"{x}_scale", f"{x}_zero_point"]
        name = f"{x}_DequantizeLinear"
        return self.builder.node("DequantizeLinear", inputs, f"{x}_dequantized", name=name)

    def image(self) -> str:
        """The input through its pair."""
        return self.pair("data", *INPUT_RANGE)

    def layer(self, layer: str, shape: Sequence[int], x: str, relu: str) -> str:
        """A float layer on dequantized weights, its ReLU through a pair."""
        self.parameters(layer, shape, x)
        inputs = [f"{x}_dequantized"]
        inputs += [self.dequantize(f"{layer}_weight"), self.dequantize(f"{layer}_bias")]
        output = f"{layer}_fwd"
        if len(shape) == 4:
            self.builder.node("Conv", inputs, output, name=output, **CONV)
        else:
            self.builder.node("Gemm", inputs, output, name=output, transB=1)
        if not relu:
            return output
        self.builder.node("Relu", [output], relu, name=relu)
        return self.pair(relu, 0.0, ACTIVATION_MAX)

    def pool(self, x: str, name: str) -> str:
        """Max-pooling through a pair."""
        self.builder.pool(f"{x}_dequantized", name, name=name)
        return self.pair(name, 0.0, ACTIVATION_MAX)

    def flatten(self, x: str, name: str) -> str:
        """Flattening through a pair."""
        self.builder.node("Flatten", [f"{x}_dequantized"], name, name=name)
        return self.pair(name, 0.0, ACTIVATION_MAX)

    def logits(self, x: str) -> None:
        """The last layer's output is float32 already."""


def quantized_graph(builder: SyntheticBuilder) -> onnx.ModelProto:
    """The fp32 graph's layers and names, without Dropout."""
    form = _Qdq(builder) if builder.entry.quantized == "qdq" else _QOperator(builder)
    x, channels, index = form.image(), 3, 0
    for block, widths in enumerate(builder.widths()):
        for width in widths:
            filters = (width, channels, 3, 3)
            x = form.layer(f"vgg0_conv{index}", filters, x, f"vgg0_relu{index}_fwd")
            channels, index = width, index + 1
        x = form.pool(x, f"vgg0_pool{block}_fwd")
    for index, shape in enumerate(builder.dense_shapes()):
        x = form.flatten(x, f"flatten_{60 + 5 * index}")
        relu = f"vgg0_dense{index}_relu_fwd" if index < 2 else ""
        x = form.layer(f"vgg0_dense{index}", shape, x, relu)
    form.logits(x)
    return builder.model(x, ir_version=7, domains=form.domains)
