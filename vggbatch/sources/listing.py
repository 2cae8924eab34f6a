"""Which files an input names: one file, a folder at any depth, or a glob, on any store."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.core import has_magic

from vggbatch.errors import UsageError
from vggbatch.sources.names import is_hidden
from vggbatch.sources.s3_level import S3Level
from vggbatch.storage import file_version, filesystem, is_local, store_errors

_THREADS = 16
"""Listings of a store at a time."""
_MOST_FOLDERS = 10_000
"""Folders side by side; with more, a listing of its own for each would be more requests than pages
of one listing of everything."""


@dataclass(frozen=True)
class Listed:
    """One file of a listing."""

    uri: str
    name: str
    """Path under the input root; the file's own name where the input is a file."""
    size: int
    """Bytes; -1 where the store does not say."""
    version: str
    """Changes when the content does."""
    explicit: bool = False
    """Named by the user, and so never left out."""


def list_input(uri: str) -> Iterator[Listed]:
    """The visible files that an input names, in no particular order.

    Raises:
        UsageError: there is no such file or folder, it may not be read, or its store does not
            answer.
    """
    fs, path = filesystem(uri)
    try:
        with store_errors():
            if has_magic(path) and not (is_local(fs) and os.path.exists(path)):
                yield from _globbed(fs, path)
                return
            info = fs.info(path)
            if info["type"] == "directory":
                yield from _walk(fs, path, path)
            else:
                yield _listed(fs, info, path.rpartition("/")[0], explicit=True)
    except FileNotFoundError as error:
        # fsspec says so of any web server from which nothing comes
        why = error.__cause__
        if isinstance(why, OSError) and not isinstance(why, FileNotFoundError):
            raise UsageError(f"{uri}: cannot be listed: {' '.join(str(why).split())}") from None
        raise UsageError(f"{uri}: no such file or folder") from None
    except PermissionError as error:
        raise UsageError(f"{uri}: may not be read: {error.strerror or error}") from None
    except OSError as error:
        if is_local(fs):
            raise
        # no credentials, no way there, or no answer after the client's own retries
        raise UsageError(f"{uri}: cannot be listed: {' '.join(str(error).split())}") from None


def _globbed(fs: fsspec.AbstractFileSystem, pattern: str) -> Iterator[Listed]:
    root = pattern
    while has_magic(root):
        root = root.rpartition("/")[0]
    for path, info in fs.glob(pattern, detail=True).items():
        if is_hidden(path[len(root) :]):
            continue
        if info["type"] == "directory":
            yield from _walk(fs, path, root)
        else:
            yield _listed(fs, info, root, explicit=True)


def _walk(fs: fsspec.AbstractFileSystem, folder: str, root: str) -> Iterator[Listed]:
    if is_local(fs):
        yield from _walk_local(folder, root, frozenset())
        return
    for info in _find(fs, folder):
        # an empty object whose name ends in / is how consoles and tools keep an empty folder
        if not (is_hidden(info["name"][len(root) :]) or info["name"].endswith("/")):
            yield _listed(fs, info, root)


def _find(fs: fsspec.AbstractFileSystem, folder: str) -> Iterator[dict[str, Any]]:
    """Every file below a folder of a store, sub-folders listed side by side as they are asked for.

    The store gives a thousand names an answer and the next thousand only after that, so one
    listing of everything waits for each page in turn.
    """
    folders = [folder]
    while len(folders) == 1:
        top = folders[0].rstrip("/")
        entries = _level(fs, top)
        folders = [e["name"] for e in entries if e["type"] == "directory"]
        if len(folders) > _MOST_FOLDERS:
            yield from fs.find(top, detail=True).values()
            return
        yield from (e for e in entries if e["type"] != "directory")

    def below(name: str) -> list[dict[str, Any]]:
        found = list(fs.find(name, detail=True).values())
        # s3fs would keep every listing
        fs.invalidate_cache()
        return found

    waiting: deque[Future[list[dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for name in folders:
            waiting.append(pool.submit(below, name))
            if len(waiting) > 2 * _THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _level(fs: fsspec.AbstractFileSystem, folder: str) -> list[dict[str, Any]]:
    """The files and folders directly below a folder of a store."""
    if "s3" in fs.protocol:
        return list(S3Level.of(fs, folder).entries(_THREADS))
    entries: list[dict[str, Any]] = fs.ls(folder, detail=True)
    fs.invalidate_cache()
    return entries


def _walk_local(folder: str, root: str, inside: frozenset[tuple[int, int]]) -> Iterator[Listed]:
    """Files below a local folder, links followed; `inside` are the folders above, against loops."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in inside:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk_local(entry.path, root, inside | {identity})
                continue
            name = os.path.relpath(entry.path, root) if root == "/" else entry.path[len(root) :]
            try:
                found = entry.stat()
            except FileNotFoundError:
                # A dangling link, or deleted meanwhile: a row with an error, not a lost one.
                yield Listed(entry.path, name.lstrip("/"), -1, "")
            else:
                version = str(found.st_mtime_ns)
                yield Listed(entry.path, name.lstrip("/"), found.st_size, version)


def _listed(
    fs: fsspec.AbstractFileSystem, info: dict[str, Any], root: str, *, explicit: bool = False
) -> Listed:
    path: str = info["name"]
    uri = path if is_local(fs) else fs.unstrip_protocol(path)
    size = info.get("size")
    return Listed(
        uri,
        path[len(root) :].lstrip("/"),
        -1 if size is None else size,
        file_version(info),
        explicit,
    )
