"""Where images and their labels come from: shard formats, loose files, manifests, on any store."""

from vggbatch.sources.base import MEMBERS_SCHEMA, Member, Reader, Shard
from vggbatch.sources.discover import discover, reader_for
from vggbatch.sources.labels import Labels, load_labels

__all__ = [
    "MEMBERS_SCHEMA",
    "Labels",
    "Member",
    "Reader",
    "Shard",
    "discover",
    "load_labels",
    "reader_for",
]
