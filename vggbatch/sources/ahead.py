"""The images of the next chunks, read from a store while those before them are decoded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from vggbatch.errors import ImageError
from vggbatch.sources.base import Shard
from vggbatch.sources.discover import reader_for
from vggbatch.storage.ranges import is_remote

_WAITING = 8 * 2**20
"""Bytes of a chunk that wait for the caller, beside what its reader has in progress."""


class Contents:
    """What `Reader.read` gives of one chunk, for one thread to take while another reads.

    Args:
        shard: as `Reader.read` takes it, and so the others.
        members: the chunk's.
        max_bytes: of an image.
    """

    def __init__(self, shard: Shard, members: pa.Table, max_bytes: int) -> None:
        self._source = shard, members, max_bytes
        self._changed = threading.Condition()
        self._items: deque[bytes | ImageError] = deque()
        self._waiting = 0
        self._over = self._closed = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[bytes | ImageError]:
        return self

    def __next__(self) -> bytes | ImageError:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._over)
            if not self._items:
                if self._error is not None:
                    raise self._error
                raise StopIteration
            item = self._items.popleft()
            self._waiting -= _size(item)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let the reading thread stop, if it has not come to the end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fill(self) -> None:
        """Read all, as far as there is room. Errors are raised where the images are taken."""
        shard, members, max_bytes = self._source
        try:
            for item in reader_for(shard.format).read(shard, members, max_bytes):
                if not self._put(item):
                    break
        except Exception as error:
            self._error = error
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _put(self, item: bytes | ImageError) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting < _WAITING or self._closed)
            if self._closed:
                return False
            self._items.append(item)
            self._waiting += _size(item)
            self._changed.notify_all()
            return True


class ReadAhead:
    """Reads chunks in the order in which they are asked for.

    Each must be taken to its end or closed, or those behind it wait indefinitely.

    Args:
        chunks: that are read at a time, no fewer than are taken at a time.
    """

    def __init__(self, chunks: int) -> None:
        self._threads = ThreadPoolExecutor(chunks, "read")

    def read(self, shard: Shard, members: pa.Table, max_bytes: int) -> Contents | None:
        """What `Reader.read` gives, which begins at once; None for files on a disk.

        A disk needs nothing ahead: what it has is read when it is taken.
        """
        if not is_remote(_first_file(shard, members)):
            return None
        contents = Contents(shard, members, max_bytes)
        self._threads.submit(contents.fill)
        return contents


def _first_file(shard: Shard, members: pa.Table) -> str:
    named: str | None = members["source"][0].as_py() if len(members) else None
    return named or shard.uri


def _size(item: bytes | ImageError) -> int:
    return len(item) if isinstance(item, bytes) else 0
