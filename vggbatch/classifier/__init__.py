"""The onnxruntime classifier: a session on cores of its own, micro-batches, softmax and top-k."""

from vggbatch.classifier.classifier import Classifier, Predictions, SessionSpec

__all__ = ["Classifier", "Predictions", "SessionSpec"]
