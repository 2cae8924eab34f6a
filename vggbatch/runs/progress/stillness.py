"""A run that gets nowhere says so, and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

STILL_S = 30.0
"""Seconds without a result until the first line."""
AGAIN_S = 60.0
"""Seconds from one line to the next."""


class Stillness:
    """The time since the last result."""

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """Something has come."""
        self._since = time.monotonic()
        self._said = float("-inf")

    def note(self, waiting_for: Callable[[], str | None]) -> str | None:
        """The line that is due now, if one is.

        Args:
            waiting_for: gives what is waited for: the end of a sentence.
        """
        now = time.monotonic()
        if now - self._since < STILL_S or now - self._said < AGAIN_S:
            return None
        self._said = now
        reason = waiting_for()
        line = f"no progress for {now - self._since:.0f} s"
        return f"{line}, waiting for {reason}" if reason else line
