"""Metrics of a run, computed from its predictions files and label sets, with no inference."""

from vggbatch.metrics.evaluate import Evaluation, LabelSetResult, evaluate_predictions
from vggbatch.metrics.labelset import RECORDED, LabelSet, Matcher
from vggbatch.metrics.summary import ErrorPolicy, Metric

__all__ = [
    "RECORDED",
    "ErrorPolicy",
    "Evaluation",
    "LabelSet",
    "LabelSetResult",
    "Matcher",
    "Metric",
    "evaluate_predictions",
]
