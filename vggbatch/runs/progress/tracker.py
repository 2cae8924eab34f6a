"""What the driver counts while a run continues, and what it reports to a progress callback."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.chunks.throughput import Throughput
from vggbatch.output.image_total import Total
from vggbatch.output.progress import Progress, Snapshot

ProgressCallback = Callable[[Snapshot], None]
"""Called for every chunk from the thread that runs the job; and with a `note`, while the run gets
nowhere, from another."""


@dataclass
class RunTracker:
    """Counts of one run."""

    progress: Progress
    total: Total
    """Images in all."""
    errors: int = 0
    """Error rows."""
    chunks: int = 0
    """Chunks that this run committed."""
    stats: Stats = field(default_factory=Stats)
    """Sums over them, without what is counted by shard or interval, which grows with the input."""
    write_seconds: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """By group: what writing staging files took, which those cannot say themselves."""
    _started: float = field(init=False, default_factory=time.perf_counter)
    _last: float | None = field(init=False, default=None)

    def start(self) -> None:
        """Scoring begins: from now on time counts."""
        self._started = time.perf_counter()

    def commit(self, key: ChunkKey, stats: Stats) -> bool:
        """Count a chunk; whether it is the first time."""
        if not self.progress.commit(key, stats.rows):
            return False
        self.total.opened(key.shard, key.images)
        self.chunks += 1
        self.stats += replace(stats, throughput=Throughput(), content={})
        self.write_seconds[key.group] += stats.write_seconds
        self.errors += stats.error_rows
        self._last = time.perf_counter()
        return True

    @property
    def rows(self) -> int:
        """Images in the chunks that this run committed."""
        return self.stats.rows

    def rate(self) -> float:
        """Images a second, from the start of scoring to the last chunk."""
        if self._last is None:
            return 0.0
        return self.rows / max(1e-9, self._last - self._started)

    def snapshot(self) -> Snapshot:
        """How far the run is now."""
        safe = self.progress.rows
        total = max(self.total.images, safe)
        return Snapshot(safe, total, self.errors, self.rate(), exact=self.total.exact)
