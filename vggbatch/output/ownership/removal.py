"""Removals that are repeated where a disk or store fails for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable

_WAITS_S = (0.1, 0.4)
"""Seconds before each further attempt."""
_ENOUGH_S = 10.0
"""Seconds after which there is no further one: a client of a store repeats requests itself."""


def persistently(remove: Callable[[], None]) -> None:
    """Remove something, at the third attempt if need be.

    Args:
        remove: does it, and does no harm where it is done already.

    Raises:
        OSError: of the last attempt.
    """
    started = time.monotonic()
    for wait in _WAITS_S:
        try:
            remove()
            return
        except OSError:
            if time.monotonic() - started > _ENOUGH_S:
                raise
        time.sleep(wait)
    remove()
