"""Ground truth from the forms in which it is published, matched to image ids."""

from vggbatch.sources.labels.load import load_labels
from vggbatch.sources.labels.lookup import Labels

__all__ = ["Labels", "load_labels"]
