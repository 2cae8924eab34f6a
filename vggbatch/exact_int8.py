"""Open networks so that products of uint8 by int8 are exact on every processor.

x86 processors without VNNI add such products up in 16 bits, and what does not fit is cut off in
silence: a network in int8 gives other scores there, some of them far off. onnxruntime can turn
int8 weights into uint8 ones, with the zero point moved, when it opens a network; those are added
up in 32 bits. Only its extended optimizations do so, and only on such processors.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

_PRECISE = "session.x64quantprecision"
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
