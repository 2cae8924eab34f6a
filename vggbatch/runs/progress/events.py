"""The events of a run, as log lines; telemetry.py counts them for Prometheus too."""

from __future__ import annotations

from typing import Any

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.pipeline.run_logging import RunLogger, chunk_fields


class RunEvents:
    """What happens in a run.

    Args:
        run_id: of this run, as run.json has it.
    """

    def __init__(self, run_id: str) -> None:
        self.log = RunLogger(__name__, run_id)

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def placed(self, placement: dict[str, Any]) -> None:
        """It is decided where the classifiers are."""
        self.log.info("classifiers placed", extra={"placement": placement})

    def committed(self, stats: Stats) -> None:
        """A chunk is committed for the first time."""

    def failed(self, key: ChunkKey, reason: str) -> None:
        """A chunk came back without rows; the reason begins with the stage's name."""
        self.log.info("chunk failed", extra={**chunk_fields(key), "failure": reason})

    def group_closed(self, group: int, rows: int) -> None:
        """A group's predictions files are written."""
        self.log.info("group closed", extra={"group": group, "rows": rows})
