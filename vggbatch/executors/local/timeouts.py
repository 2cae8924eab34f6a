"""When a worker counts as stuck, by the driver's clock and by what its work costs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.executors.base import Work
from vggbatch.executors.local.seats import Care

SILENCE_TIMEOUT_S = 90.0
"""Seconds without a word of a worker, which says something every two: it is stopped, or stuck in
native code that lets no other thread run."""
OPEN_TIMEOUT_S = 600.0
"""Seconds for a worker to open the networks, whose files are prepared."""
CHUNK_TIMEOUT_S = 120.0
"""Seconds for a chunk, beside what it costs."""
_CROP_TIMEOUT_S = 3.0
"""Seconds a single crop; a slow core takes one for a VGG in fp32."""
_IMAGE_TIMEOUT_S = 150.0
"""Seconds an image that is decoded in a process of its own, which has 120 (see isolated.py)."""
_INDEX_TIMEOUT_S = 600.0
_INDEX_BYTES_A_SECOND = 5e6
"""A shard's index may take its reading once, from a slow store."""
_LOOK_S = 1.0
"""Seconds from one look at the workers to the next."""
_STANDSTILL_S = 5.0
"""Seconds between two looks that count as a standstill of the driver: it was stopped, or busy."""


class Timeouts:
    """The timeouts of one run.

    Args:
        work: what is to be done.
    """

    def __init__(self, work: Work) -> None:
        self._chunk_work, self._chunk_size = work.chunk_work, work.chunk_size
        self._sizes = {number: shard.size for number, _, shard in work.shards}
        self._looked = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for a look at the workers."""
        return time.monotonic() - self._looked > _LOOK_S

    def standstill(self) -> float:
        """Seconds since the last look, if they were so many that the driver itself stood still."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        return passed if passed > _STANDSTILL_S else 0.0

    def verdict(
        self,
        heard: float,
        opening: float | None,
        items: Sequence[tuple[float, ChunkKey, Care]],
        classifiers: int,
    ) -> str | None:
        """Why a worker has to be ended: the end of a sentence about its process; None: it works.

        Args:
            heard: when it said something last, as all times by `time.monotonic`.
            opening: when it began to open the networks, if it is at that.
            items: since when it has what, and how carefully that is done.
            classifiers: how many it has.
        """
        now = time.monotonic()
        if opening is not None and now - opening > OPEN_TIMEOUT_S:
            return f"did not open the network within {OPEN_TIMEOUT_S:.0f} s"
        if opening is None and now - heard > SILENCE_TIMEOUT_S:
            return f"did not answer for {SILENCE_TIMEOUT_S:.0f} s"
        if opening is not None:
            return None
        rounds = 1 + math.ceil(len(items) / classifiers)
        for since, key, care in items:
            limit = self._limit(key, care, rounds)
            if now - since > limit:
                return f"did not end within {limit:.0f} s"
        return None

    def _limit(self, key: ChunkKey, care: Care, rounds: int) -> float:
        if key.chunk < 0:
            return _INDEX_TIMEOUT_S + max(0, self._sizes[key.shard]) / _INDEX_BYTES_A_SECOND
        limit = CHUNK_TIMEOUT_S + rounds * _CROP_TIMEOUT_S * self._chunk_work
        if care > Care.USUAL:
            limit += _IMAGE_TIMEOUT_S * self._chunk_size
        return limit
