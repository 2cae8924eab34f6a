"""Iterators that work ahead in threads, or say how long they were waited for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(function: Callable[[_T], _R], items: Iterable[_T], threads: int) -> Iterator[_R]:
    """What a function makes of each item, in their order, a few ahead of what is taken.

    Args:
        function: called in the threads; with one thread, in the caller's own.
        items: taken one by one by the caller's thread.
        threads: at least one.
    """
    if threads == 1:
        yield from map(function, items)
        return
    ahead: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class Timed(Generic[_T]):
    """An iterator, and the seconds for which its items were waited for."""

    def __init__(self, items: Iterator[_T]) -> None:
        self._items = items
        self.seconds = 0.0

    def __iter__(self) -> Timed[_T]:
        return self

    def __next__(self) -> _T:
        started = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - started
