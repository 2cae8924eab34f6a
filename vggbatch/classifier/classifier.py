"""One network on cores of its own: uint8 crops in, the five most probable classes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vggbatch.classifier.cores import Claim, claim_cores
from vggbatch.classifier.topk import negative_log_likelihood, softmax, top_k
from vggbatch.config import Preprocess
from vggbatch.preprocess.transform import Normaliser

DEFAULT_MICRO_BATCH = 4
"""Images in one run: rates are flat from 4 to 32 (measured), memory is not."""


@dataclass(frozen=True)
class SessionSpec:
    """What a classifier needs to know about a prepared model file."""

    path: str
    """Local ONNX file with a free batch dimension."""
    input: str
    outputs: tuple[str, ...]
    """Scores first; then the features, where they are wanted."""
    layout: str
    """NCHW or NHWC."""
    probabilities: bool
    """Whether the scores went through softmax already."""
    preprocess: Preprocess
    optimised: bool = False
    """The file was optimised and prepacked for this machine: load it as it is."""


@dataclass(frozen=True)
class Predictions:
    """What the network says of n images."""

    index: npt.NDArray[np.int32]
    """(n, 5) class indices, -1 past the last class."""
    probability: npt.NDArray[np.float32]
    """(n, 5)"""
    label_nll: npt.NDArray[np.float64]
    """(n,) -ln(probability of the image's own class), NaN where it has no label."""
    features: npt.NDArray[np.float32] | None
    """(n, 4096) fc7 activations."""


def open_session(spec: SessionSpec, threads: int) -> ort.InferenceSession:
    """Load the model with exactly `threads` intra-op threads, which inherit this thread's cores.

    Raises:
        RuntimeError: onnxruntime cannot load the file (its own message).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # decoding shares the cores: a spinning pool would take their time while it waits
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if spec.optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(spec.path, options, providers=["CPUExecutionProvider"])


class Classifier:
    """An onnxruntime session pinned to cores that no other classifier on the machine uses."""

    def __init__(
        self,
        spec: SessionSpec,
        *,
        threads: int = 1,
        micro_batch: int | None = None,
        pin: bool = True,
        top: int = 5,
    ) -> None:
        # before the session: its threads inherit the mask of the thread that makes them
        self.claim: Claim | None = claim_cores(threads) if pin else None
        self.session = open_session(spec, threads)
        self.spec = spec
        self.normalise = Normaliser(spec.preprocess, layout=spec.layout)
        self.micro_batch = micro_batch or DEFAULT_MICRO_BATCH
        self.top = top

    def __call__(
        self, crops: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32] | None = None
    ) -> Predictions:
        """Classify crops.

        Args:
            crops: (n, h, w, 3) RGB.
            labels: (n,) class index, -1 where unknown.
        """
        wanted = np.full(len(crops), -1, np.int32) if labels is None else labels
        parts = [
            self._run(crops[i : i + self.micro_batch], wanted[i : i + self.micro_batch])
            for i in range(0, len(crops), self.micro_batch)
        ]
        with_features = len(self.spec.outputs) > 1
        if not parts:
            empty = np.empty((0, self.top), np.float32)
            features = np.empty((0, 0), np.float32) if with_features else None
            return Predictions(empty.astype(np.int32), empty, np.empty(0), features)
        return Predictions(
            np.concatenate([part.index for part in parts]),
            np.concatenate([part.probability for part in parts]),
            np.concatenate([part.label_nll for part in parts]),
            np.concatenate([part.features for part in parts]) if with_features else None,
        )

    def scores(
        self, values: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """One run of the network on its normalised input: scores (n, classes), and features."""
        scores, *rest = self.session.run(list(self.spec.outputs), {self.spec.input: values})
        n = len(values)
        return scores.reshape(n, -1), rest[0].reshape(n, -1) if rest else None

    def _run(self, crops: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]) -> Predictions:
        scores, features = self.scores(self.normalise(crops))
        probabilities = scores if self.spec.probabilities else softmax(scores)
        index, probability = top_k(probabilities, self.top)
        nll = negative_log_likelihood(scores, labels, probabilities=self.spec.probabilities)
        return Predictions(index, probability, nll, features)
