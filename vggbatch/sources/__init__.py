"""Where images and their labels come from: shard formats, loose files, manifests, on any store."""

from vggbatch.sources.base import MEMBERS_SCHEMA, Member, Reader, Shard
from vggbatch.sources.discover import Survey, discover, reader_for, survey
from vggbatch.sources.input_warnings import Surprise, surprise

__all__ = [
    "MEMBERS_SCHEMA",
    "Member",
    "Reader",
    "Shard",
    "Surprise",
    "Survey",
    "discover",
    "reader_for",
    "surprise",
    "survey",
]
