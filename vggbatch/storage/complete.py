"""Ranges that come as long as they were asked for, or not at all.

A store may answer a range with fewer bytes and a length to match: behind a proxy that was cut off,
from a cache with half an object, or because the object is another one by now. No client sees a
fault in that. Such an answer is asked for again, whole: that its bytes are the first of the range
is not known, for a server without ranges sends the first of the file.
"""

from __future__ import annotations

import random
import time

from vggbatch.storage.stores import Bytes, Store, StoreError, retried

_TRIES = 4
_FIRST_PAUSE = 0.1
"""Seconds; doubled from try to try. Short, for a file that has become shorter stays so."""


class ShortRead(StoreError):
    """A store that gives fewer bytes than a file was listed with, whenever it is asked."""


def read_range(store: Store, path: str, start: int, end: int, least: int | None = None) -> Bytes:
    """The bytes from `start` to `end`, fewer only where every try brings fewer.

    Args:
        store: that has the file.
        path: of the file there.
        start: the first byte.
        end: the one after the last.
        least: bytes that are enough; None: all.

    Raises:
        OSError: as `retried` does.
    """
    best: Bytes = b""
    enough = end - start if least is None else least
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(random.uniform(0.5, 1) * _FIRST_PAUSE * 2 ** (attempt - 1))
        data = retried(lambda: store.read(path, start, end))
        if len(data) >= enough:
            return data
        best = max(best, data, key=len)
    return best


def read_listed(store: Store, path: str, start: int, end: int, name: str) -> Bytes:
    """The bytes from `start` to `end` of a file that was listed with so many.

    Args:
        store: that has it.
        path: of the file there.
        start: the first byte.
        end: the one after the last.
        name: of the file, in the error.

    Raises:
        ShortRead: there are fewer.
        OSError: as `retried` does.
    """
    data = read_range(store, path, start, end)
    if len(data) < end - start:
        raise ShortRead(
            f"{name} was listed with more: the store gives {len(data)} of {end - start} bytes from "
            f"byte {start} on, at each of {_TRIES} tries"
        )
    return data
