"""An onnxruntime session on a prepared model file, with exactly the threads it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vggbatch.classifier.provider import Provider
from vggbatch.exact_int8 import open_exactly

MICRO_BATCH = 4
"""Images in one run: rates are flat from 4 to 32 (measured), memory is not."""
INT8_MICRO_BATCH = 16
"""4 % faster than 4, in 160 MB of memory where 4 images in fp32 take 120 (VGG-16, measured)."""


@dataclass(frozen=True)
class SessionSpec:
    """What must be known about a prepared model file to run it."""

    path: str
    """Local ONNX file."""
    input: str
    outputs: tuple[str, ...]
    """Scores first; then the features, where they are wanted."""
    layout: str
    """NCHW or NHWC."""
    probabilities: bool
    """Whether the scores went through softmax already."""
    optimized: bool = False
    """The file was optimized and prepacked for this machine: load it as it is."""
    micro_batch: int = MICRO_BATCH
    """Images in one run, where the user does not say."""
    batch: int | None = None
    """Images in each run, all of them needed; None for any number."""
    provider: Provider | None = None
    """What computes it; None for onnxruntime's own CPU kernels."""


class Session:
    """A network that is open.

    Args:
        spec: its file.
        threads: intra-op threads; they inherit this thread's cores.

    Raises:
        RuntimeError: onnxruntime cannot load the file (its own message).
        VggbatchError: its provider cannot be used on this machine.
    """

    def __init__(self, spec: SessionSpec, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # a plan of the memory for each shape, kept beside the arena: 100 MB more for a VGG, and
        # again for every size of a last batch, at the same speed (measured)
        options.enable_mem_pattern = False
        # decoding shares the cores: a spinning pool would take their time while it waits
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if spec.optimized:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.spec = spec
        self._first: ort.RunOptions | None = None
        if spec.provider is not None:
            self._session = spec.provider.open(spec.path, options)
            return
        self._session = open_exactly(spec.path, options, checked=True)
        # opening packs all weights again before it takes those of the file, and onnxruntime keeps
        # that memory for itself until asked for it, 124 MB for a VGG-16 in int8 (measured)
        self._first = ort.RunOptions()
        self._first.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def __call__(
        self, values: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Scores (n, classes) of n normalized inputs, and their features (n, width), if wanted."""
        n, batch = len(values), self.spec.batch or len(values)
        parts = [
            self._run(_filled(values[start : start + batch], batch)) for start in range(0, n, batch)
        ]
        scores, *rest = (np.concatenate(part)[:n] for part in zip(*parts, strict=True))
        return scores, rest[0] if rest else None

    def _run(self, values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Rows of each output, one per image."""
        first, self._first = self._first, None
        found = self._session.run(list(self.spec.outputs), {self.spec.input: values}, first)
        return [value.reshape(len(values), -1) for value in found]


def _filled(values: npt.NDArray[np.float32], batch: int) -> npt.NDArray[np.float32]:
    """A batch of the size that the network takes, filled up with its last image."""
    missing = batch - len(values)
    if not missing:
        return values
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
