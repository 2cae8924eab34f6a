"""The onnxruntime classifier: sessions on cores of their own, views, softmax and top-k."""

from vggbatch.classifier.classifier import Classifier, NetworkSpec, Predictions
from vggbatch.classifier.session import SessionSpec

__all__ = ["Classifier", "NetworkSpec", "Predictions", "SessionSpec"]
