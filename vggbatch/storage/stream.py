"""A file in a store, open for reading: read ahead where it is read on, hopped where it is not."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from vggbatch.storage.stores import Bytes

PIECE = 2 * 2**20
"""Bytes in one request of a file that is read from front to back."""
_EXPECTED = 2 * PIECE
"""Bytes in one request for what is known to be read, all of them sent at once."""
_TOGETHER = 2**16
"""Bytes between two of these parts that are read too, rather than asked for in two requests."""
_HOP = 2**16
"""Bytes asked for after a jump, when nothing is known of what comes next."""
_NEAR = 2**20
"""A jump ahead by fewer bytes continues reading: a store sends as much while it answers again."""
_KEPT = 2 * 2**20
"""Bytes behind the position that are kept, for readers that look back."""
_MOST_AHEAD = 16 * 2**20
"""Bytes in progress at a time."""
_PARTS_AHEAD = 32
"""Requests in progress at a time, where they are for less."""


@dataclass
class _Extent:
    start: int
    end: int
    data: Future[Bytes]
    reached: bool = False


class Seekable(io.RawIOBase):
    """A file of known size that is read from anywhere: a position, and what `io` asks of it.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; costs nothing by itself."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position


class RemoteFile(Seekable):
    """Reads like a local file. After the first pieces in a row up to 16 MiB are in progress ahead.

    Args:
        read: `(start, end)` -> the bytes between, retried.
        size: the file's, in bytes.
        pool: where `read` is called.
    """

    def __init__(self, read: Callable[[int, int], Bytes], size: int, pool: Executor) -> None:
        super().__init__(size)
        self._read = read
        self._pool = pool
        self._extents: list[_Extent] = []
        self._ahead = 0
        self._expected: deque[tuple[int, int]] | None = None
        """What is known to be read next, and nothing past it; None: that is not known."""

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes between, by a request of their own. Raises OSError."""
        return bytes(self._read(start, end))

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises OSError."""
        parts = self._parts(size)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def read_buffer(self, size: int | None = -1) -> memoryview:
        """As `read`, without a copy where one request has brought them. For Arrow."""
        parts = self._parts(size)
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the number of bytes."""
        view = memoryview(buffer).cast("B")
        place = 0
        for part in self._parts(len(view)):
            view[place : place + len(part)] = part
            place += len(part)
        return place

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._forget()
        super().close()

    def expect(self, parts: Iterable[tuple[int, int]]) -> None:
        """Ask at once for what will be read next, and for nothing past it.

        Args:
            parts: start and end of each, in the order in which they will be read, rising. What a
                damaged file says of itself is left out.
        """
        self._forget()
        joined: list[tuple[int, int]] = []
        for start, end in parts:
            end = min(end, self.size)
            if joined and joined[-1][1] <= start <= joined[-1][1] + _TOGETHER:
                start, _ = joined.pop()
            if (joined[-1][1] if joined else 0) <= start < end:
                joined.append((start, end))
        self._expected = deque(
            (place, min(place + _EXPECTED, end))
            for start, end in joined
            for place in range(start, end, _EXPECTED)
        )
        self._ahead = _MOST_AHEAD
        if self._expected:
            self._ask(*self._expected.popleft())
            self._read_ahead(0)

    def _parts(self, size: int | None) -> list[memoryview]:
        """The next `size` bytes as they have come; the position moves."""
        end = self.size if size is None or size < 0 else min(self._position + size, self.size)
        parts = []
        while self._position < end:
            extent = self._at(self._position)
            data = memoryview(extent.data.result())
            part = data[self._position - extent.start : end - extent.start]
            if not part:
                break  # the file has become shorter
            parts.append(part)
            self._position += len(part)
        return parts

    def _at(self, position: int) -> _Extent:
        """The extent with the byte at `position`, others ahead of it in progress."""
        while self._extents and self._extents[0].end < position - _KEPT:
            self._extents.pop(0)
        number = next((i for i, e in enumerate(self._extents) if e.start <= position < e.end), None)
        if number is None:
            last = self._extents[-1].end if self._extents else 0
            if last <= position < last + _NEAR:
                self._ahead = max(PIECE, self._ahead)
                size = PIECE if self._extents else _HOP
                self._ask(position, min(position + size, self.size))
            else:
                self._forget()
                # of the end as much at once: a footer is read after its length, which is behind it
                start = min(position, max(0, self.size - _HOP))
                self._ask(start, min(start + _HOP, self.size))
            number = len(self._extents) - 1
        elif not self._extents[number].reached:
            self._ahead = min(max(PIECE, 2 * self._ahead), _MOST_AHEAD)
        self._extents[number].reached = True
        self._read_ahead(number)
        return self._extents[number]

    def _read_ahead(self, number: int) -> None:
        """Ask for what follows the extent of this number."""
        ahead = self._extents[number + 1 :]
        size, count = sum(e.end - e.start for e in ahead), len(ahead)
        while size < self._ahead and count < _PARTS_AHEAD:
            following = self._following()
            if following is None:
                return
            self._ask(*following)
            size, count = size + following[1] - following[0], count + 1

    def _following(self) -> tuple[int, int] | None:
        """Start and end of the next piece to ask for."""
        if self._expected is not None:
            return self._expected.popleft() if self._expected else None
        last = self._extents[-1].end
        return (last, min(last + PIECE, self.size)) if last < self.size else None

    def _ask(self, start: int, end: int) -> None:
        self._extents.append(_Extent(start, end, self._pool.submit(self._read, start, end)))

    def _forget(self) -> None:
        for extent in self._extents:
            extent.data.cancel()
        self._extents.clear()
        self._ahead, self._expected = 0, None
