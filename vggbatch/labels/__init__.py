"""Ground truth from the forms in which it is published, matched to image ids."""

from vggbatch.labels.load import load_classes, load_labels
from vggbatch.labels.lookup import Labels
from vggbatch.labels.real import MultiLabels
from vggbatch.labels.spec import EMBEDDED, SUBSETS, LabelSpec
from vggbatch.sources.classes import Classes

__all__ = [
    "EMBEDDED",
    "SUBSETS",
    "Classes",
    "LabelSpec",
    "Labels",
    "MultiLabels",
    "load_classes",
    "load_labels",
]
