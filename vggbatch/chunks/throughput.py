"""When images were done: a histogram over time that adds up over chunks and resumed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from vggbatch.bounds import Count


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("it is no power of two")
    return value


_Interval = Annotated[int, Field(ge=1, lt=2**32), AfterValidator(_power_of_two)]

_END = 2**37
"""Seconds since 1970 at which no run is: in the year 6325."""
LONGEST = 512
"""Intervals kept. A histogram with more is coarsened to intervals of twice the length."""


@dataclass(frozen=True)
class Throughput:
    """Images done in each interval of the clock.

    Intervals are of a power of two seconds and begin at multiples of it since 1970, so that sums
    come out the same in whatever order and grouping they are added.
    """

    interval: _Interval = 1
    """Seconds."""
    images: Mapping[Count, Count] = field(default_factory=dict)
    """Images by number of the interval; those without any are left out."""

    @property
    def dated(self) -> bool:
        """Whether all of its intervals are in years that a calendar has."""
        return max(self.images, default=0) * self.interval < _END

    @staticmethod
    def of(images: int, seconds: float) -> Throughput:
        """Images that were done at a moment, in seconds since 1970."""
        return Throughput(images={int(seconds): images})

    def __add__(self, other: Throughput) -> Throughput:
        interval = max(self.interval, other.interval)
        while True:
            summed: Counter[int] = Counter()
            for part in (self, other):
                factor = interval // part.interval
                for number, images in part.images.items():
                    summed[number // factor] += images
            if len(summed) <= LONGEST:
                return Throughput(interval, dict(sorted(summed.items())))
            interval *= 2

    def describe(self) -> dict[str, Any] | None:
        """As run.json has it: images by seconds since the first interval; None without any."""
        if not self.images:
            return None
        first = min(self.images)
        start = datetime.fromtimestamp(first * self.interval, UTC)
        return {
            "start": start.isoformat(),
            "interval_seconds": self.interval,
            "images": [
                [(number - first) * self.interval, images] for number, images in self.images.items()
            ],
        }
