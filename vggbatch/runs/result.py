"""What a run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggbatch.chunks.stats import Stats
from vggbatch.cluster.placement import Placement
from vggbatch.output.layout import Output
from vggbatch.output.ownership.fence import Fence
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.storage.filesystem import Folder


@dataclass(frozen=True)
class Revision:
    """A generation of an output that is prepared and not declared (see switch.py)."""

    plan: dict[str, Any]
    """Its plan.json."""
    before: dict[str, Any]
    """run.json of the generation before."""

    @property
    def generation(self) -> int:
        """How often the output will have been revised."""
        return int(self.plan["generation"])


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    run_id: str
    """Names this run in run.json, log lines and metrics."""
    output: Output
    rows: int
    """Rows in the output."""
    stats: Stats
    seconds: float
    """Of this run, start of Ray included."""
    stats_now: Stats
    """Of what this run scored; nothing where an earlier one had done all."""
    images_per_second: float
    executor: str | None
    """What scored, `local` or `ray`; None where nothing was left to score."""
    placement: Placement | None
    """Where; None likewise."""
    lease: OutputLease | None
    """The right to write; None where the output was complete before, and nothing was done."""
    folders: dict[str, Folder]
    """Where the rows of each profile are; the first are the output's own."""
    files: dict[str, list[dict[str, Any]]]
    """The data files of each profile, with their row counts, sizes and digests."""
    revision: Revision | None = None
    """Where the output was complete before and is to become its next generation."""
    more: bool = False
    """Whether the input has more than the interrupted run was about, which this one has ended."""

    def fence(self, profile: str) -> Fence:
        """The right to write into the output of a profile."""
        return self.output.fence_of("" if profile == next(iter(self.folders)) else profile)

    @property
    def complete_before(self) -> bool:
        """Whether the output was complete before this run, and nothing was done."""
        return self.lease is None

    @property
    def scored_now(self) -> int:
        """Images that this run scored."""
        return self.stats_now.rows


@dataclass(frozen=True)
class WrittenMetrics:
    """The metrics of a profile."""

    tables: Sequence[dict[str, Any]]
    """The files that were written, as run.json lists them."""
    lines: Sequence[dict[str, Any]]
    """The lines of the summary."""


Metrics = Mapping[str, WrittenMetrics]
"""By profile."""
