"""Ground truth from the forms in which it is published, matched to image ids."""

from vggbatch.sources.labels.load import load_labels
from vggbatch.sources.labels.lookup import Labels
from vggbatch.sources.labels.real import MultiLabels

__all__ = ["Labels", "MultiLabels", "load_labels"]
