"""Whether files are what was recorded of them when they were written.

Of a Parquet file are recorded its size, its rows and a digest of its footer, which has the place,
the size and the range of values of every column chunk: to check it is a listing and a short read,
however long the file. What is damaged between is found by the checksums of its pages when they are
read. Of a small file the digest is over all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from vggbatch.storage.filesystem import MAX_DOCUMENT, Folder, store_errors
from vggbatch.storage.parquet_check import MAX_FOOTER

_READERS = 16
"""Files looked into at a time: from a store, it is all waiting."""
_TAIL = 2**16
"""Bytes from the end of a file that have most footers in them."""
_BLOCK = 2**23
_END = 8
"""Bytes after a footer: its length, and PAR1."""


def parquet_facts(name: str, rows: int, file: BinaryIO) -> dict[str, Any]:
    """What is recorded of a Parquet file that has just been written."""
    size = file.seek(0, 2)

    def read(start: int) -> bytes:
        file.seek(start)
        return file.read()

    footer = _footer_digest(size, read)
    return {"name": name, "rows": rows, "bytes": size, "footer": footer}


def content_facts(name: str, data: bytes) -> dict[str, Any]:
    """What is recorded of a small file."""
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def damage(folder: Folder, files: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What is wrong with files that were recorded: by name, `is missing` and so on.

    Args:
        folder: that their names are relative to.
        files: as `parquet_facts` and `content_facts` gave them.
    """
    files = list(files)
    wrong: dict[str, str] = {}
    whole: list[dict[str, Any]] = []
    places = {file["name"].rpartition("/")[0] for file in files}
    sizes = {info.path: info.size for place in sorted(places) for info in folder.list(place)}
    for file in files:
        size = sizes.get(file["name"])
        if size is None:
            wrong[file["name"]] = "is missing"
        elif size != file["bytes"]:
            wrong[file["name"]] = f"has {size} bytes instead of {file['bytes']}"
        else:
            whole.append(file)
    with ThreadPoolExecutor(_READERS) as pool:
        for file, intact in zip(whole, pool.map(lambda f: _intact(folder, f), whole), strict=True):
            if not intact:
                wrong[file["name"]] = "is damaged"
    return wrong


def _intact(folder: Folder, file: dict[str, Any]) -> bool:
    path, size = folder.path(file["name"]), file["bytes"]

    def read(start: int, end: int = size) -> bytes:
        with store_errors():
            data: bytes = folder.fs.cat_file(path, start=start, end=end)
        return data

    try:
        if "sha256" in file:
            return _content_digest(size, read) == str(file["sha256"])
        return _footer_digest(size, read) == str(file["footer"])
    except (FileNotFoundError, ValueError):
        return False


def _content_digest(size: int, read: Any) -> str:
    """Of all of a file, which is not in memory as a whole; ValueError where nothing reads it."""
    if size > MAX_DOCUMENT:
        raise ValueError(f"more than {MAX_DOCUMENT} bytes")
    digest = hashlib.sha256()
    for start in range(0, size, _BLOCK):
        digest.update(read(start, min(start + _BLOCK, size)))
    return digest.hexdigest()


def _footer_digest(size: int, read: Any) -> str:
    """Of the footer of a Parquet file; ValueError if it has none."""
    start = max(0, size - _TAIL)
    tail: bytes = read(start)
    length = int.from_bytes(tail[-_END:-4], "little") + _END
    if len(tail) != size - start or tail[-4:] != b"PAR1" or length > min(size, MAX_FOOTER):
        raise ValueError("no Parquet file")
    if length > len(tail):
        tail = read(size - length)
    return hashlib.sha256(tail[-length:]).hexdigest()[:32]
