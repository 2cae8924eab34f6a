"""onnxruntime as preparation, quantization and checks use it; `classifier` has its own session.

One place for what all of these want alike: exact integers, and warnings about a graph's age
unsaid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import onnxruntime
from onnxruntime import GraphOptimizationLevel, InferenceSession
from onnxruntime.capi import onnxruntime_pybind11_state as native

from vggbatch.exact_int8 import open_exactly

_ERRORS = 3
"""Severity of the log lines that are shown, at least."""

ONNXRUNTIME_ERRORS: tuple[type[Exception], ...] = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)
"""What onnxruntime raises on a network that it cannot open or run; they have no common base."""


def reason(error: object) -> str:
    """What onnxruntime says in an error, without its name, its numbers and its source lines."""
    text = " ".join(str(error).split())
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"Load model from \S+ failed:", "", text)
    text = re.sub(r"/\S+\.(cc|h):\d+ [^\]]*?\) ", "", text)
    return text[:300].strip()


def open_network(
    network: Path | bytes,
    *,
    optimize: bool = True,
    threads: int | None = None,
    checked: bool = False,
    spin: bool = True,
) -> InferenceSession:
    """Open a network to run it.

    Args:
        network: ONNX file, or its content.
        optimize: let onnxruntime rewrite the graph; not where it is prepared already, or where
            what would be fused away is wanted.
        threads: None: as many as there are cores.
        checked: as `open_exactly` takes it.
        spin: let threads wait for the next run with their core; not where several networks take
            turns, for those of one would slow the next one down.
    """
    options = _options()
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads or 0
    if not optimize:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    return open_exactly(network, options, checked=checked)


def write_optimized(
    source: Path,
    target: Path,
    level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Write what onnxruntime makes of a graph when it opens it.

    Args:
        source: ONNX file.
        target: ONNX file to write.
        level: how much it may rewrite; all of it fits this machine alone.
        settings: of the session, by their names after `session.`.
    """
    options = _options()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(target)
    for key, value in (settings or {}).items():
        options.add_session_config_entry(f"session.{key}", value)
    open_exactly(source, options, checked=True)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    return options
