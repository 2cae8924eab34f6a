"""Open networks so that products of uint8 by int8 are exact on every processor.

x86 processors without VNNI add such products up in 16 bits, and what does not fit is cut off in
silence: a network in int8 gives other scores there, some of them far off. onnxruntime can turn
int8 weights into uint8 ones, with the zero point moved, when it opens a network; those are added
up in 32 bits. Only its extended optimizations do so. It would do so on processors with VNNI too,
where the scores are right without it and a VGG then takes 2.8 times as long (measured, 1.32 on an
AMD EPYC), so it is asked to only where sums are cut off. That is found out by computing, not by the
processor's name: what counts is what onnxruntime does here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

_PRECISE = "session.x64quantprecision"
_SUMMANDS = 64
_LARGEST = _SUMMANDS * 255 * 127
"""No other product of so many uint8 and int8 values is larger; two of the summands alone exceed 16
bits."""
CPU = "CPUExecutionProvider"


def open_exactly(
    network: str | Path | bytes,
    options: SessionOptions,
    *,
    checked: bool = False,
    providers: Sequence[str | tuple[str, dict[str, str]]] = (CPU,),
) -> InferenceSession:
    """Open a network, with exact products of integers on the CPU where onnxruntime has them.

    Args:
        network: ONNX file, or its content.
        options: of the session; changed. A file that was optimized for this machine already keeps
            what was made of it.
        checked: preparation looks, or has looked, for products that are left inexact. Without, a
            network that can only be opened as it is opens with a warning.
        providers: of onnxruntime, the preferred one first; what it leaves, the next one computes.

    Raises:
        Exception: onnxruntime cannot open the network (its own type and message).
    """
    rewrites = options.graph_optimization_level != GraphOptimizationLevel.ORT_DISABLE_ALL
    if not rewrites or not saturates():
        return InferenceSession(network, options, providers=list(providers))
    options.add_session_config_entry(_PRECISE, "1")
    try:
        return InferenceSession(network, options, providers=list(providers))
    except (NoKernel, Fail):
        # it turns the weights of int8 by int8 products too, has no kernel for what comes of it, and
        # those are exact as they are; preparation finds out where others are left
        if not checked:
            logging.getLogger(__name__).warning(
                "onnxruntime cannot open this int8 network with exact sums; on a processor without "
                "VNNI, products of uint8 and int8 values in it may be cut off at 16 bits"
            )
        options.add_session_config_entry(_PRECISE, "0")
        return InferenceSession(network, options, providers=list(providers))


@cache
def saturates(*, precise: bool = False) -> bool:
    """Whether this processor cuts sums of uint8 by int8 products off.

    Args:
        precise: when networks are opened as the package opens them; else as onnxruntime does.
    """
    options = SessionOptions()
    options.log_severity_level = 3
    network = _largest_products()
    if precise:
        session = open_exactly(network, options)
    else:
        session = InferenceSession(network, options, providers=[CPU])
    image = np.full((1, _SUMMANDS, 1, 1), 255, np.uint8)
    product, convolved = session.run(None, {"image": image})
    return bool((product != _LARGEST).any() or (convolved != 255).any())


def _largest_products() -> bytes:
    """A matrix product and a convolution of the largest values there are."""
    # here, as a classifier that opens a prepared file needs none of it
    from onnx import TensorProto, helper, numpy_helper

    weights = np.full((1, _SUMMANDS, 1, 1), 127, np.int8)
    constants: dict[str, NDArray[Any]] = {
        "kernel": weights,
        "matrix": weights.reshape(_SUMMANDS, 1),
        "row": np.array([1, _SUMMANDS], np.int64),
        "u8_zero": np.array(0, np.uint8),
        "s8_zero": np.array(0, np.int8),
        "s8_zero_too": np.array(0, np.int8),
        "one": np.array(1, np.float32),
        "scale": np.array(_LARGEST / 255, np.float32),
    }
    convolution = ["image", "one", "u8_zero", "kernel", "one", "s8_zero_too", "scale", "u8_zero"]
    nodes = [
        helper.make_node("Reshape", ["image", "row"], ["flat"]),
        helper.make_node("MatMulInteger", ["flat", "matrix", "u8_zero", "s8_zero"], ["product"]),
        helper.make_node("QLinearConv", convolution, ["convolved"]),
    ]
    graph = helper.make_graph(
        nodes,
        "largest products",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, _SUMMANDS, 1, 1])],
        [
            helper.make_tensor_value_info("product", TensorProto.INT32, [1, 1]),
            helper.make_tensor_value_info("convolved", TensorProto.UINT8, [1, 1, 1, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    return bytes(model.SerializeToString())
