"""A file in a store, open for reading: read ahead where it is read on, hopped where it is not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

PIECE = 2**20
"""Bytes in one request of a file that is read from front to back."""
_EXPECTED = 2 * PIECE
"""Bytes in one request for what is known to be read: half as many requests, all sent at once."""
_HOP = 2**16
"""Bytes asked for after a jump, when nothing is known of what comes next."""
_NEAR = 2**20
"""A jump ahead by fewer bytes continues reading: a store sends as much while it answers again."""
_KEPT = 2 * 2**20
"""Bytes behind the position that are kept, for readers that look back."""
_MOST_AHEAD = 16 * PIECE
"""Bytes in progress at a time."""


@dataclass(frozen=True)
class _Extent:
    start: int
    end: int
    data: Future[bytes]


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

    def __init__(self, read: Callable[[int, int], bytes], size: int, pool: Executor) -> None:
        super().__init__(size)
        self._until = size
        self._read = read
        self._pool = pool
        self._extents: list[_Extent] = []
        self._ahead = 0
        self._piece = PIECE

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes between, by a request of their own. Raises OSError."""
        return self._read(start, end)

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises OSError."""
        end = self.size if size is None or size < 0 else min(self._position + size, self.size)
        parts = []
        while self._position < end:
            extent = self._at(self._position)
            data = extent.data.result()
            part = data[self._position - extent.start : end - extent.start]
            if not part:
                break  # the file has become shorter
            parts.append(part)
            self._position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._forget()
        super().close()

    def expect(self, start: int, end: int) -> None:
        """Ask at once for what will be read next, from front to back, and for nothing past it."""
        self._forget()
        end = min(end, self.size)
        if not 0 <= start < end:
            return  # what a damaged file says of itself
        self._until = end
        self._piece = _EXPECTED
        self._ahead = self._most_ahead
        self._ask(start, self._piece, self._until)
        self._read_ahead(0)

    def _at(self, position: int) -> _Extent:
        """The extent with the byte at `position`, others ahead of it in progress."""
        while self._extents and self._extents[0].end < position - _KEPT:
            self._extents.pop(0)
        number = next((i for i, e in enumerate(self._extents) if e.start <= position < e.end), None)
        if number is None:
            last = self._extents[-1].end if self._extents else 0
            if last <= position < last + _NEAR:
                self._ahead = max(1, self._ahead)
                self._ask(position, PIECE if self._extents else _HOP)
            else:
                self._forget()
                # of the end as much at once: a footer is read after its length, which is behind it
                self._ask(min(position, max(0, self.size - _HOP)), _HOP)
            number = len(self._extents) - 1
        elif position == self._extents[number].start:
            self._ahead = min(max(1, 2 * self._ahead), self._most_ahead)
        self._read_ahead(number)
        return self._extents[number]

    def _read_ahead(self, number: int) -> None:
        """Ask for pieces that follow the extent of this number."""
        while len(self._extents) - number <= self._ahead and self._extents[-1].end < self._until:
            self._ask(self._extents[-1].end, self._piece, self._until)

    @property
    def _most_ahead(self) -> int:
        """Pieces in progress at a time."""
        return _MOST_AHEAD // self._piece

    def _ask(self, start: int, size: int, until: int | None = None) -> None:
        end = min(start + size, self.size if until is None else until)
        self._extents.append(_Extent(start, end, self._pool.submit(self._read, start, end)))

    def _forget(self) -> None:
        for extent in self._extents:
            extent.data.cancel()
        self._extents.clear()
        self._ahead, self._piece = 0, PIECE
