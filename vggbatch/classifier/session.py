"""An onnxruntime session on a prepared model file, with exactly the threads it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort


@dataclass(frozen=True)
class SessionSpec:
    """What must be known about a prepared model file to run it."""

    path: str
    """Local ONNX file with a free batch dimension."""
    input: str
    outputs: tuple[str, ...]
    """Scores first; then the features, where they are wanted."""
    layout: str
    """NCHW or NHWC."""
    probabilities: bool
    """Whether the scores went through softmax already."""
    optimised: bool = False
    """The file was optimised and prepacked for this machine: load it as it is."""


class Session:
    """A network that is open.

    Args:
        spec: its file.
        threads: intra-op threads; they inherit this thread's cores.

    Raises:
        RuntimeError: onnxruntime cannot load the file (its own message).
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
        if spec.optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.spec = spec
        self._session = ort.InferenceSession(spec.path, options, providers=["CPUExecutionProvider"])

    def __call__(
        self, values: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Scores (n, classes) of n normalised inputs, and their features (n, width), if wanted."""
        scores, *rest = self._session.run(list(self.spec.outputs), {self.spec.input: values})
        n = len(values)
        return scores.reshape(n, -1), rest[0].reshape(n, -1) if rest else None
