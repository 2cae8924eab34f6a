"""Reading that ends: regular files only, no more bytes than asked for, web servers within limits.

Whatever comes from outside passes through here before it is in memory. A web server is asked for
bytes as they are (`Accept-Encoding: identity`) and one that compresses all the same is refused: a
few kilobytes of gzip become gigabytes. Bytes are counted while they arrive, so a body without an
end costs no more than what was asked for, and a server that sends a byte a second is left.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

import fsspec
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

MAX_CLASS_LIST = 2**24
"""Bytes of a list of classes; ImageNet's has 32,000."""

_TRIES = 4
"""Of reading a store's file that comes with another length than its size."""
_BLOCK = 2**16
_FIRST_SECONDS = 60.0
"""Also how long a web server may be silent."""
_SLOWEST = 2**14
"""Bytes a second: below that on average, after `_FIRST_SECONDS`, a web server's answer is left."""
_MOST_SECONDS = 300.0
"""For one answer of a web server in all."""

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(PermissionError):
    """A pipe, a socket or a device, whose reading may never end. Its `strerror` says which."""


class RefusedError(PermissionError):
    """An answer of a web server that is not taken: compressed, though that was not asked for."""


class TooManyBytesError(OSError):
    """A file with more bytes than are read of such a file."""


class TooSlowError(OSError):
    """A web server that sends, but so little that its answer was left."""


def irregular(mode: int) -> str | None:
    """What a file is, by its mode, if opening it could block: `a named pipe`; None if it cannot."""
    return next((name for test, name in _KINDS if test(mode)), None)


def open_descriptor(path: str | bytes) -> int:
    """Open a local file for reading, if it is a regular one.

    Raises:
        NotRegularError: it is something else, which is not waited for.
        OSError: as `os.open`.
    """
    _require_regular(path, os.stat(path).st_mode)
    # it may have become something else by now: neither does opening a pipe wait
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """As `open(path, "rb")`, for regular files alone. Raises as `open_descriptor`."""
    # by an opener, so that a folder in its place is closed again and named in the error
    return open(os.fspath(path), "rb", opener=lambda name, _: open_descriptor(name))


def read_bounded(fs: fsspec.AbstractFileSystem, path: str, limit: int) -> bytes:
    """A whole file, on disk or in a store.

    Args:
        fs: the filesystem that has it.
        path: its path there.
        limit: bytes that such a file has at most.

    Raises:
        TooManyBytesError: it has more; they were not read.
        OSError: it cannot be read, or comes with other than its bytes at every try.
    """
    if isinstance(fs, LocalFileSystem):
        with open_regular(path) as file:
            data = file.read(limit + 1)
    elif is_web(fs):
        data = read_web(fs, path, 0, limit + 1)
    else:
        data = _read_store(fs, path, limit)
    if len(data) > limit:
        raise _too_many(limit)
    return data


def read_at_once(fs: fsspec.AbstractFileSystem, path: str, limit: int) -> bytes:
    """A whole file of a store in a single request, without a look at its size before.

    Args:
        fs: the filesystem that has it, another one than this machine's.
        path: its path there.
        limit: bytes that such a file has at most.

    Raises:
        TooManyBytesError: it has more; no more than one of them was asked for.
        Exception: what the store's client raises.
    """
    try:
        read = read_web if is_web(fs) else _read_range
        data = read(fs, path, 0, limit + 1)
    except Exception as error:
        if not starts_past_the_end(error):
            raise
        data = b""  # of an empty file nothing can be asked for
    if len(data) > limit:
        raise _too_many(limit)
    return data


def _read_range(fs: fsspec.AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    data: bytes = fs.cat_file(path, start=start, end=end)
    return data


def starts_past_the_end(error: Exception) -> bool:
    """HTTP status 416, as s3fs, azure, aiohttp and gcsfs report it."""
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return "range" in str(error).lower()
    return http_status(error) == 416


def http_status(error: Exception) -> int | None:
    """The HTTP status that a client's exception reports."""
    if str(error).startswith("Forbidden"):
        return 403  # gcsfs, in words alone
    found = (getattr(error, name, None) for name in ("status_code", "status", "code"))
    return next((status for status in found if isinstance(status, int)), None)


def _read_store(fs: fsspec.AbstractFileSystem, path: str, limit: int) -> bytes:
    """A whole file of a store, whose length is compared with what the store gives as its size."""
    for _ in range(_TRIES):
        size = fs.info(path).get("size")
        if size is None:
            return bytes(fs.cat_file(path, start=0, end=limit + 1))
        if size > limit:
            raise _too_many(limit)
        data: bytes = fs.cat_file(path)
        if len(data) == size:
            return data
        fs.invalidate_cache()
    raise OSError(f"it came as {len(data)} of {size} bytes, {_TRIES} times")


def is_web(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether the filesystem is web servers."""
    return "http" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def read_web(fs: Any, url: str, start: int, end: int) -> bytes:
    """The bytes of a web server's file from `start` to `end`, fewer where it ends. One try.

    A server that knows no ranges sends the file from its beginning; what comes before `start` is
    dropped as it comes, and nothing past `end` is waited for.

    Raises:
        RefusedError: the answer is compressed.
        TooSlowError: too little comes in too long a time.
        Exception: what aiohttp raises, and FileNotFoundError.
    """
    try:
        data: bytes = sync(fs.loop, _read_web, fs, url, start, end)
    except TimeoutError as error:
        raise TooSlowError(f"nothing came for {_FIRST_SECONDS:.0f} s") from error
    return data


async def _read_web(fs: Any, url: str, start: int, end: int) -> bytes:
    options = dict(fs.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"}
    headers["Range"] = f"bytes={start}-{end - 1}"
    options |= answer_limits(fs)
    session = await fs.set_session()
    begun = time.monotonic()
    asked = session.get(fs.encode_url(url), headers=headers, **options)
    async with refusing_redirects(), asked as answer:
        fs._raise_not_found_for_status(answer, url)
        refuse_compressed(answer.headers)
        skip = 0 if answer.status == 206 else start
        data = bytearray()
        async for block in answer.content.iter_chunked(_BLOCK):
            dropped = min(skip, len(block))
            skip -= dropped
            data += block[dropped : dropped + end - start - len(data)]
            if len(data) >= end - start:
                break  # leaving closes the connection where more would come
            check_pace(begun, len(data))
    return bytes(data)


@asynccontextmanager
async def refusing_redirects() -> AsyncIterator[None]:
    """Raise RefusedError where a server leads round in circles, or out of the web."""
    from aiohttp import RedirectClientError, TooManyRedirects

    try:
        yield
    except TooManyRedirects:
        raise RefusedError(errno.EACCES, "the server redirects without end") from None
    except RedirectClientError as error:
        where = f"({str(error)[:100]})"
        raise RefusedError(
            errno.EACCES, f"the server redirects to what is no web server {where}"
        ) from None


def answer_limits(fs: Any) -> dict[str, Any]:
    """Settings of a request to a web server whose answer ends, unless the user gives other ones."""
    if "timeout" in fs.client_kwargs or "timeout" in fs.kwargs:
        return {}
    from aiohttp import ClientTimeout  # it is there where there is a filesystem of it

    return {"timeout": ClientTimeout(total=_MOST_SECONDS, sock_read=_FIRST_SECONDS)}


def refuse_compressed(headers: Any) -> None:
    """Raise RefusedError for an answer whose bytes are not the file's own."""
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedError(
            errno.EACCES, f"the server sends it compressed ({encoding[:20]}), which is not read"
        )


def limited(blocks: Iterator[bytes], limit: int, size: int | None = None) -> Iterator[bytes]:
    """The blocks of a file, until they are more than `limit` bytes: then TooManyBytesError.

    Args:
        blocks: in order.
        limit: bytes that such a file has at most.
        size: what the file is said to have; if that is more, no block is read.
    """
    if size is not None and size > limit:
        raise _too_many(limit)
    begun, done = time.monotonic(), 0
    for block in blocks:
        done += len(block)
        if done > limit:
            raise _too_many(limit)
        yield block
        check_pace(begun, done, most=float("inf"))


def check_pace(begun: float, done: int, most: float = _MOST_SECONDS) -> None:
    """Raise TooSlowError if a web server's answer has come too slowly, or for too long."""
    seconds = time.monotonic() - begun
    if seconds > min(most, _FIRST_SECONDS + done / _SLOWEST):
        raise TooSlowError(f"{done} bytes came in {seconds:.0f} s; it is not waited for")


def _require_regular(path: str | bytes, mode: int) -> None:
    kind = irregular(mode)
    if kind is not None:
        raise NotRegularError(errno.EACCES, f"{kind}, not a regular file", path)


def _too_many(limit: int) -> TooManyBytesError:
    size = f"{limit / 2**20:.0f} MiB" if limit >= 2**20 else f"{limit} bytes"
    return TooManyBytesError(f"more than {size}, the most that is read of such a file")
