"""What takes long and needs no more than the options: begun before anything else is imported.

The command line begins it before it imports the API; the API, which finds it under way, or begins
it where a program calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vggbatch.config import ComputeOptions
from vggbatch.pipeline.headstart import HeadStart, wanted
from vggbatch.pipeline.runlog import json_lines

if TYPE_CHECKING:
    from vggbatch.pipeline.joining import Joining


@dataclass(frozen=True)
class Early:
    """What a run finds under way."""

    head: HeadStart | None
    """A process that waits for work, where the run may have Ray to itself."""
    joining: Joining | None
    """A join of the cluster."""


_under_way: ContextVar[Early | None] = ContextVar("under way", default=None)


@contextmanager
def early(options: ComputeOptions) -> Iterator[Early]:
    """Begin what a run under these options needs; it is ended with the block.

    Within such a block it gives what that one began.
    """
    if (begun := _under_way.get()) is not None:
        yield begun
        return
    head = joining = None
    with ExitStack() as stack:
        if options.log_format == "json":
            stack.enter_context(json_lines())
        if wanted(options):
            head = stack.enter_context(HeadStart())
            # Linux ends what a thread has started with that thread
            if options.cluster_address not in (None, "local"):
                # only here: half a second of imports that one machine does without
                from vggbatch.pipeline.joining import Joining

                joining = stack.enter_context(Joining(options))
        begun = Early(head, joining)
        mark = _under_way.set(begun)
        stack.callback(_under_way.reset, mark)
        yield begun
