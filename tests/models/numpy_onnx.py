"""A small numpy interpreter of the operators in the zoo's VGG files, any opset, for proofs.

It shares nothing with onnxruntime or with onnx's reference evaluator, which know no opset below 7.
"""

import numpy as np
import onnx
from onnx import numpy_helper


def run(model: onnx.ModelProto, images: np.ndarray, want: str | None = None) -> np.ndarray:
    """The first output, or a tensor by name, for float32 images of the shape the model declares."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    inputs = [v.name for v in model.graph.input if v.name not in values]
    values[inputs[0]] = images
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        arguments = [values[name] if name else None for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *arguments)
    return values[want or model.graph.output[0].name]


def _windows(x, kernel, pads, strides, fill):
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return windows[:, :, :: strides[0], :: strides[1]]


def _conv(a, x, w, b=None, fill=0):
    assert a.get("group", 1) == 1
    assert list(a.get("dilations", [1, 1])) == [1, 1]
    windows = _windows(x, w.shape[2:], a.get("pads", [0] * 4), a.get("strides", [1, 1]), fill)
    y = np.einsum("nchwij,ocij->nohw", windows, w, optimize=True)
    return y if b is None else y + b[:, None, None]


def _max_pool(a, x):
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "ui" else -np.inf
    pads = a.get("pads", [0] * 4)
    return _windows(x, a["kernel_shape"], pads, a["strides"], lowest).max(axis=(-1, -2))


def _gemm(a, x, w, b=0):
    x = x.T if a.get("transA") else x
    w = w.T if a.get("transB") else w
    return a.get("alpha", 1.0) * (x @ w) + a.get("beta", 1.0) * b


def _reshape(a, x, shape=None):
    shape = list(a["shape"] if shape is None else shape)
    return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(shape)])


def _softmax(a, x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _batch_norm(a, x, gamma, beta, mean, var):
    column = (slice(None), None, None)
    scale = gamma / np.sqrt(var + a.get("epsilon", 1e-5))
    return (x - mean[column]) * scale[column] + beta[column]


def _quantize(a, x, scale, zero):
    info = np.iinfo(zero.dtype)
    integers = np.rint(x / _per_channel(a, scale, x)) + _per_channel(a, zero, x).astype(np.int32)
    return np.clip(integers, info.min, info.max).astype(zero.dtype)


def _dequantize(a, x, scale, zero):
    integers = x.astype(np.int32) - _per_channel(a, zero, x).astype(np.int32)
    return (integers * _per_channel(a, scale, x)).astype(np.float32)


def _per_channel(a, value, x):
    if value.ndim == 0:
        return value
    shape = [1] * x.ndim
    shape[a.get("axis", 1)] = -1
    return value.reshape(shape)


def _requantize(accumulator, step, scale, zero):
    info = np.iinfo(zero.dtype)
    integers = np.rint(accumulator * (step / scale)) + int(zero)
    return np.clip(integers, info.min, info.max).astype(zero.dtype)


def _qlinear_conv(a, x, xs, xz, w, ws, wz, ys, yz, b=None):
    x, w = x.astype(np.float64) - int(xz), w.astype(np.float64) - wz.reshape(-1, 1, 1, 1)
    accumulator = _conv(a, x, w, None if b is None else b.astype(np.float64))
    return _requantize(accumulator, xs * ws.reshape(-1, 1, 1), ys, yz)


def _qgemm(a, x, xs, xz, w, ws, wz, b, ys=None, yz=None):
    x, w = x.astype(np.float64) - int(xz), w.astype(np.float64)
    w = (w.T if a.get("transB") else w) - wz
    accumulator = x @ w + b
    if ys is None:
        return (accumulator * (xs * ws)).astype(np.float32)
    return _requantize(accumulator, xs * ws, ys, yz)


OPERATORS = {
    "Conv": _conv,
    "Relu": lambda a, x: np.maximum(x, 0),
    "MaxPool": _max_pool,
    "Gemm": _gemm,
    "Flatten": lambda a, x: x.reshape(x.shape[0], -1),
    "Reshape": _reshape,
    "Dropout": lambda a, x, *_: x,
    "Identity": lambda a, x: x,
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "ConstantOfShape": lambda a, shape: np.full(shape, numpy_helper.to_array(a["value"])[0]),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "QLinearConv": _qlinear_conv,
    "QGemm": _qgemm,
}
