"""Where images and their labels come from: shard formats, loose files, manifests, on any store."""

from vggbatch.sources.base import MEMBERS_SCHEMA, Member, Reader, Shard
from vggbatch.sources.discover import Survey, discover, reader_for, survey
from vggbatch.sources.labels import Labels, load_labels
from vggbatch.sources.surprises import Surprise, surprise

__all__ = [
    "MEMBERS_SCHEMA",
    "Labels",
    "Member",
    "Reader",
    "Shard",
    "Surprise",
    "Survey",
    "discover",
    "load_labels",
    "reader_for",
    "surprise",
    "survey",
]
