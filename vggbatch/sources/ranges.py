"""Byte ranges of files anywhere, read in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from vggbatch.errors import ImageError
from vggbatch.storage import filesystem, is_local


class StoreError(OSError):
    """A store that does not answer, after all retries."""


@dataclass(frozen=True)
class Range:
    """A part of a file; `size` -1 is from `offset` to its end."""

    uri: str
    offset: int
    size: int


def open_binary(uri: str, size: int) -> BinaryIO:
    """A file open for reading, with cheap seeks; `size` is its size in bytes, -1 if unknown.

    Raises:
        OSError: as `open` does.
    """
    fs, path = filesystem(uri)
    if is_local(fs):
        return open(path, "rb")
    return cast(BinaryIO, fs.open(path, "rb", size=size if size >= 0 else None))


def read_ranges(
    wanted: Sequence[Range | ImageError], max_bytes: int
) -> Iterator[bytes | ImageError]:
    """The bytes of each range, in order; what is an error already passes through.

    A file that is missing, forbidden or shorter than the range gives an ImageError.

    Args:
        wanted: the ranges.
        max_bytes: a range of unknown size that turns out larger is `too_large`.

    Raises:
        OSError: the store does not answer, after retries.
    """
    for item in wanted:
        if isinstance(item, ImageError):
            yield item
            continue
        fs, path = filesystem(item.uri)
        try:
            if is_local(fs):
                data = _read_local(path, item, max_bytes)
            else:
                end = item.offset + (item.size if item.size >= 0 else max_bytes + 1)
                data = fs.cat_file(path, start=item.offset, end=end)
        except (FileNotFoundError, NotADirectoryError):
            yield ImageError("missing", "there is no such file")
        except (PermissionError, IsADirectoryError) as error:
            yield ImageError("unreadable", error.strerror or str(error))
        else:
            yield _checked(item, data, max_bytes)


def _read_local(path: str, item: Range, max_bytes: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = item.size
        if size < 0:
            size = min(os.fstat(descriptor).st_size - item.offset, max_bytes + 1)
        data = os.pread(descriptor, size, item.offset)
        while len(data) < size and (
            more := os.pread(descriptor, size - len(data), item.offset + len(data))
        ):
            data += more
        return data
    finally:
        os.close(descriptor)


def _checked(item: Range, data: bytes, max_bytes: int) -> bytes | ImageError:
    if len(data) < item.size:
        return ImageError("truncated", f"the file ends {item.size - len(data)} bytes early")
    if item.size < 0 and len(data) > max_bytes:
        return ImageError("too_large", f"more than max_bytes {max_bytes}")
    return data
