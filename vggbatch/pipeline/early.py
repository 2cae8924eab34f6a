"""What takes long and needs no more than the options: begun before anything else is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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


@contextmanager
def early(options: ComputeOptions) -> Iterator[Early]:
    """Begin what a run under these options needs; it is ended with the block."""
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
        yield Early(head, joining)
