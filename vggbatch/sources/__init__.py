"""Where images and their labels come from: shard formats, loose files, manifests, on any store."""

from vggbatch.sources.base import MEMBERS_SCHEMA, Member, Reader, Shard
from vggbatch.sources.discover import Survey, discover, reader_for, survey
from vggbatch.sources.input_warnings import InputWarning, input_warning
from vggbatch.sources.selection import select

__all__ = [
    "MEMBERS_SCHEMA",
    "Member",
    "Reader",
    "Shard",
    "InputWarning",
    "Survey",
    "discover",
    "reader_for",
    "input_warning",
    "select",
    "survey",
]
