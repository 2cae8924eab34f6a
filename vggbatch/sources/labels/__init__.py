"""Ground truth from the forms in which it is published, matched to image ids."""

from vggbatch.sources.classes import Classes
from vggbatch.sources.labels.load import load_classes, load_labels
from vggbatch.sources.labels.lookup import Labels
from vggbatch.sources.labels.real import MultiLabels
from vggbatch.sources.labels.spec import EMBEDDED, SUBSETS, LabelSpec

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
