"""Byte ranges of files anywhere: in order, retried, neighbors together, ahead of the caller."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import BinaryIO, cast

from vggbatch.bounded import TooSlowError, is_web, open_descriptor, open_regular
from vggbatch.errors import ImageError, UsageError
from vggbatch.storage.complete import ShortRead, read_listed, read_range
from vggbatch.storage.filesystem import filesystem, is_local, public_uri
from vggbatch.storage.stores import Bytes, Store, StoreError, retried, store_of
from vggbatch.storage.stream import RemoteFile
from vggbatch.uris import Refused

_PARALLEL = 16
"""Requests at a time of one process: enough to hide a store's latency of some 30 ms."""
_AHEAD = 64 * 2**20
"""Bytes that may be in progress or waiting for the caller."""
_TOGETHER = (2**20, 2 * 2**20, 4 * 2**20)
"""Bytes in the first request of a chunk, in the second, and in each of the others. A chunk of 32
photographs is 4 MB: the first of them are decoded while the others are on their way, over
connections of their own (S3 answers in about 30 ms and sends at some 90 MB/s). To read all in
requests of 1 MB took 1.8 times as long as in requests of 4 MB (SeaweedFS, 16 at a time)."""
_GAP = 128 * 2**10
"""Bytes between two ranges that are read and dropped sooner than asked for in two requests."""
_SMALLEST = 2**16
"""What any request counts for at least, in bytes, in what is ahead."""
_UNKNOWN = 4 * 2**20
"""What a request for a file of unknown size counts for."""
_UNKNOWN_AHEAD = 16 * 2**20
"""Bytes that are read ahead of such a file. One that turns out larger is read when its turn comes,
so that of a list of huge files one at a time is in memory."""

_OF_THE_PROCESS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""What `open` and `read` say when this machine is short of something: not the file's fault."""


Data = bytes | memoryview
"""Of a range that came with others, the part that is its own, without a copy."""


@dataclass(frozen=True)
class Range:
    """A part of a file; `size` -1 is from `offset` to its end."""

    uri: str
    offset: int
    size: int
    whole: bool = False
    """All of a file, as it was listed: one that has more bytes by now is another file."""


def open_binary(uri: str, size: int) -> BinaryIO:
    """A file open for reading, with cheap seeks; `size` is its size in bytes, -1 if unknown.

    Raises:
        OSError: as `open` does; StoreError where the server does not answer, or does not say how
            long the file is.
    """
    fs, path = filesystem(uri)
    if is_local(fs):
        return open_regular(path)
    if size < 0:
        known: int | None = retried(lambda: fs.size(path))
        if known is None:
            raise StoreError(f"{public_uri(uri)}: the server does not say how long it is")
        size = known
    store, path = store_of(uri)

    def read(start: int, end: int) -> Bytes:
        return read_listed(store, path, start, end, public_uri(uri))

    return cast(BinaryIO, RemoteFile(read, size, _pool()))


def read_ranges(
    wanted: Sequence[Range | ImageError], max_bytes: int
) -> Iterator[Data | ImageError]:
    """The bytes of each range, in order; what is an error already passes through.

    A file that is missing, forbidden or shorter than the range gives an ImageError, and so does a
    web server that does not answer. A store that brings fewer bytes is asked again. From a store,
    neighboring ranges are read as one, several at a time, and at most about 64 MB ahead.

    Args:
        wanted: the ranges.
        max_bytes: a range of unknown size that turns out larger is `too_large`.

    Raises:
        OSError: the store does not answer, after retries.
    """
    ready: deque[tuple[int, Callable[[], list[Data | ImageError | Range]]]] = deque()
    ahead = 0
    for group in _groups(wanted):
        fetch: Callable[[], list[Data | ImageError | Range]]
        fetch = partial(_fetch, group, max_bytes, _UNKNOWN_AHEAD)
        size = 0
        if isinstance(group[0], Range) and is_remote(group[0].uri):
            fetch = _pool().submit(fetch).result
            size = max(_span(group), _SMALLEST) if group[0].size >= 0 else _UNKNOWN
        ready.append((size, fetch))
        ahead += size
        while ready and (ahead > _AHEAD or not size):
            done, result = ready.popleft()
            ahead -= done
            yield from _in_turn(result(), max_bytes)
    for _, result in ready:
        yield from _in_turn(result(), max_bytes)


def _in_turn(found: list[Data | ImageError | Range], max_bytes: int) -> Iterator[Data | ImageError]:
    """What was fetched; what was too large to be fetched ahead, now."""
    for item in found:
        if isinstance(item, Range):
            yield from cast("list[Data | ImageError]", _fetch([item], max_bytes, max_bytes))
        else:
            yield item


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_PARALLEL, thread_name_prefix="ranges")


def _groups(wanted: Sequence[Range | ImageError]) -> Iterator[list[Range | ImageError]]:
    """Runs of neighbors in one file, each of at most `_TOGETHER` bytes; others by themselves."""
    group: list[Range | ImageError] = []
    sizes = iter(_TOGETHER)
    most = next(sizes)
    for item in wanted:
        if group and not _follows(group, item, most):
            yield group
            group, most = [], next(sizes, most)
        group.append(item)
    if group:
        yield group


def _follows(group: list[Range | ImageError], item: Range | ImageError, most: int) -> bool:
    first, last = group[0], group[-1]
    if not (isinstance(first, Range) and isinstance(last, Range) and isinstance(item, Range)):
        return False
    if item.uri != last.uri or min(item.size, last.size) < 0:
        return False
    gap = item.offset - (last.offset + last.size)
    return 0 <= gap <= _GAP and item.offset + item.size - first.offset <= most


def is_remote(uri: str) -> bool:
    """Whether a URI is of a store; False also for one that nothing can open: `_fetch` says so."""
    try:
        return not is_local(filesystem(uri)[0])
    except UsageError:
        return False


def _span(group: list[Range | ImageError]) -> int:
    first, last = cast(Range, group[0]), cast(Range, group[-1])
    return last.offset + last.size - first.offset


def _fetch(
    group: list[Range | ImageError], max_bytes: int, ahead: int
) -> list[Data | ImageError | Range]:
    """The bytes of a group's ranges, or what is wrong with its file.

    One of unknown size in a store that has more than `ahead` bytes comes back as it was.
    """
    if isinstance(group[0], ImageError):
        return group  # type: ignore[return-value]
    ranges = cast("list[Range]", group)
    try:
        fs, path = filesystem(ranges[0].uri)
    except UsageError as error:
        # an unknown protocol in one line of a list is no reason to lose the others
        kind = "refused" if isinstance(error, Refused) else "unreadable"
        return [ImageError(kind, str(error)) for _ in ranges]
    if is_local(fs):
        return _fetch_local(path, ranges, max_bytes)
    try:
        start = ranges[0].offset
        size = _span(group) if ranges[0].size >= 0 else min(max_bytes, ahead) + 1
        store, path = store_of(ranges[0].uri)
        data = memoryview(_asked(store, path, ranges[0], start, start + size) if size else b"")
    except (FileNotFoundError, NotADirectoryError):
        return [ImageError("missing", "there is no such file") for _ in ranges]
    except (PermissionError, IsADirectoryError) as error:
        return [ImageError("unreadable", error.strerror or str(error)) for _ in ranges]
    except TooSlowError as error:
        return [ImageError("timeout", str(error)) for _ in ranges]
    except ShortRead as error:
        return [ImageError("truncated", str(error)) for _ in ranges]
    except StoreError as error:
        # A list of the web's images names servers that are gone; a store of one's own comes back.
        if not (is_web(fs) or fs.protocol == "hf"):
            raise
        return [ImageError("unreadable", str(error)) for _ in ranges]
    if ranges[0].size < 0 and ahead < len(data) <= max_bytes:
        return [ranges[0]]
    parts: list[Data | ImageError | Range] = []
    for item in ranges:
        begin = item.offset - start
        part = data[begin : begin + item.size + item.whole] if item.size >= 0 else data
        parts.append(_checked(item, part, max_bytes))
    return parts


def _asked(store: Store, path: str, first: Range, start: int, end: int) -> Bytes:
    """The bytes of a request; of a whole file one more, where it has become longer."""
    if first.size < 0:
        known = retried(lambda: store.size(path))
        if known is None:
            return retried(lambda: store.read(path, start, end))
        name = public_uri(first.uri)
        return read_listed(store, path, start, min(end, known), name) if known > start else b""
    return read_range(store, path, start, end + first.whole, end - start)


def _fetch_local(path: str, ranges: list[Range], max_bytes: int) -> list[Data | ImageError | Range]:
    """The bytes of ranges of one file here. Raises OSError if the machine is at fault."""
    try:
        # bytes, for a worker whose locale is not UTF-8 would ask for another name
        raw = path.encode("utf-8", "surrogateescape")
        return [_checked(item, _read_local(raw, item, max_bytes), max_bytes) for item in ranges]
    except (FileNotFoundError, NotADirectoryError):
        error = ImageError("missing", "there is no such file")
    except OSError as fault:
        if fault.errno in _OF_THE_PROCESS:
            raise
        # a name that is too long, a link to itself, a folder, a bad sector: this file's own
        error = ImageError("unreadable", fault.strerror or str(fault))
    except ValueError:
        error = ImageError("missing", "its name holds what no file's does, a NUL or a surrogate")
    return [error for _ in ranges]


def _read_local(path: bytes, item: Range, max_bytes: int) -> bytes:
    descriptor = open_descriptor(path)
    try:
        size = item.size
        if size < 0:
            size = min(os.fstat(descriptor).st_size - item.offset, max_bytes + 1)
        elif item.whole:
            size += 1
        data = os.pread(descriptor, size, item.offset)
        while len(data) < size and (
            more := os.pread(descriptor, size - len(data), item.offset + len(data))
        ):
            data += more
        return data
    finally:
        os.close(descriptor)


def _checked(item: Range, data: Data, max_bytes: int) -> Data | ImageError:
    if len(data) < item.size:
        return ImageError("truncated", f"the file ends {item.size - len(data)} bytes early")
    if item.whole and len(data) > item.size >= 0:
        return ImageError("corrupt", f"the file has more than the {item.size} bytes it had")
    if item.size < 0 and len(data) > max_bytes:
        return ImageError("too_large", f"more than max_bytes {max_bytes}")
    return data
