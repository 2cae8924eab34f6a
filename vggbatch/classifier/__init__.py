"""The onnxruntime classifier: a session on cores of its own, micro-batches, softmax and top-k."""

from vggbatch.classifier.classifier import Classifier, Predictions, SessionSpec
from vggbatch.classifier.ensemble import Ensemble, NetworkSpec

__all__ = ["Classifier", "Ensemble", "NetworkSpec", "Predictions", "SessionSpec"]
