"""How long a pass may rest between two steps of Ray Data's scheduler.

At each step Ray Data looks at every task, actor and budget, ten times a second whatever there is to
do: half of what 64 classifiers that take seconds for a chunk cost their driver (measured). A step
in the time that a chunk is with a stage is enough; there are a few more. Of a task that gives many,
as indexing does, two are taken at a step: that counts as one that comes out after the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

_STEPS = 4
"""At least, in the time that a chunk is with a stage."""
_LONGEST_S = 0.5
_BEGIN_S = 30.0
"""Seconds without rests: a short pass would be over later, and the driver has little else to do."""
_WINDOW_S = 2.0
"""Seconds over which chunks are counted."""


class Pace:
    """The rests of one pass."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._since = 0.0
        self._came: dict[Hashable, int] = {}
        self._rest = 0.0

    def rest(self, now: float, stages: Mapping[Hashable, tuple[int, int]]) -> float:
        """Seconds until the next step; none where that is not known yet.

        Args:
            now: of a clock.
            stages: of each stage, its tasks that are at work or wait for it, and the chunks that
                have come out so far.
        """
        if self._begun is None:
            self._begun = now
        if now - self._begun < _BEGIN_S:
            return 0.0
        came = {stage: out for stage, (_, out) in stages.items()}
        seconds = now - self._since
        if self._came.keys() == came.keys() and seconds < _WINDOW_S:
            return self._rest
        # by Little's law: of so many that are in it, so many a second come out
        stays = [
            seconds * inside / (out - self._came[stage])
            for stage, (inside, out) in stages.items()
            if out > self._came.get(stage, out)
        ]
        self._since, self._came = now, came
        self._rest = min(_LONGEST_S, min(stays, default=0.0) / _STEPS)
        return self._rest
