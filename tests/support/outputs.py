"""Outputs that a test writes itself, without a run and its lease."""

from __future__ import annotations

from dataclasses import asdict, replace

from vggbatch.output.layout import Output
from vggbatch.output.ownership import claim
from vggbatch.output.ownership.fence import Fence
from vggbatch.output.ownership.lease import _new_lease
from vggbatch.storage.filesystem import Folder


def take(folder: Folder) -> Fence:
    """Claim an output from any owner, as a run does that counts as dead at once."""
    there = claim.claims(folder)
    number = max((found.number for found in there), default=0) + 1
    fence = claim.create(folder, number, asdict(replace(_new_lease(), pid=-1)))
    assert fence is not None
    for found in there:
        claim.revoke(folder, found)
    return fence


def owned(path: object) -> Output:
    """The output in a folder, to be written."""
    folder = path if isinstance(path, Folder) else Folder(str(path))
    return Output(folder, fence=take(folder))
