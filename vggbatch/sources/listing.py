"""Which files an input names: one file, a folder at any depth, or a glob, on any store."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import fsspec
from fsspec.core import has_magic

from vggbatch import uris
from vggbatch.errors import ImageError, UsageError
from vggbatch.sources.input_warnings import HIDDEN, MARKER, LeftOut
from vggbatch.sources.listed import Listed
from vggbatch.sources.local_listing import walk_local, with_status
from vggbatch.sources.names import is_hidden, suffix
from vggbatch.storage.filesystem import file_version, filesystem, is_local, public_uri, store_errors
from vggbatch.storage.s3_level import S3Level

_THREADS = 16
"""Listings of a store at a time."""
_MOST_FOLDERS = 10_000
"""Folders side by side; with more, a listing of its own for each would be more requests than pages
of one listing of everything."""


def list_input(uri: str, left_out: LeftOut | None = None) -> Iterator[Listed]:
    """The visible files that an input names, in no particular order.

    Args:
        uri: a file, a folder or a glob.
        left_out: counts what is hidden or not followed.

    Raises:
        UsageError: there is no such file or folder, it may not be read, or its store does not
            answer.
    """
    left_out = LeftOut() if left_out is None else left_out
    fs, path = filesystem(uri)
    if is_local(fs):
        path = _one_spelling(path)
    try:
        with store_errors():
            # in an address on the web a ? begins the query
            if has_magic(uris.without_query(path)) and not (is_local(fs) and os.path.exists(path)):
                yield from _globbed(fs, path, left_out)
                return
            info = fs.info(path)
            if info["type"] == "directory":
                yield from _walk(fs, path, path, left_out)
            else:
                yield _listed(fs, info, uris.without_query(path).rpartition("/")[0], explicit=True)
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
            raise UsageError(f"{uri}: cannot be read: {error.strerror or error}") from None
        # no credentials, no way there, or no answer after the client's own retries
        raise UsageError(f"{uri}: cannot be listed: {' '.join(str(error).split())}") from None


def _one_spelling(path: str) -> str:
    """A local path without `//`, `/./` and, where no link is in between, `/../`.

    Files that are named twice are found by their paths.
    """
    plain = os.path.normpath(path)
    if ".." in path.split("/"):
        with suppress(OSError):
            return plain if os.path.samefile(plain, path) else path
        return path
    return plain


def _globbed(fs: fsspec.AbstractFileSystem, pattern: str, left_out: LeftOut) -> Iterator[Listed]:
    root = pattern
    while has_magic(root):
        root = root.rpartition("/")[0]
    # `*.dat` names files of a kind; what `*` matches may as well be anything
    explicit = bool(suffix(pattern)) and not has_magic(suffix(pattern))
    for path, info in fs.glob(pattern, detail=True).items():
        if is_hidden(path[len(root) :]):
            left_out.add(HIDDEN, path[len(root) :].lstrip("/"), path)
        elif info["type"] == "directory":
            yield from _walk(fs, path, root, left_out)
        else:
            yield _listed(fs, info, root, explicit=explicit)


def _walk(
    fs: fsspec.AbstractFileSystem, folder: str, root: str, left_out: LeftOut
) -> Iterator[Listed]:
    if is_local(fs):
        yield from walk_local(folder, root, left_out)
        return
    for info in _find(fs, folder):
        name = _below(info["name"], root)
        # an object whose name ends in / is how consoles and tools keep an empty folder
        if name.endswith("/") or not name:
            left_out.add(MARKER, name or info["name"], info["name"])
        elif is_hidden(name):
            left_out.add(HIDDEN, name, info["name"])
        else:
            yield _listed(fs, info, root)


def _find(fs: fsspec.AbstractFileSystem, folder: str) -> Iterator[dict[str, Any]]:
    """Every file below a folder of a store, sub-folders listed side by side as they are asked for.

    The store gives a thousand names an answer and the next thousand only after that, so one
    listing of everything waits for each page in turn.
    """
    folders: Sequence[S3Level] | Sequence[FolderLevel] = [FolderLevel(fs, folder)]
    if "s3" in fs.protocol:
        folders = [S3Level.of(fs, folder)]
    while len(folders) == 1:
        level = folders[0]
        entries: Iterable[dict[str, Any]]
        entries, folders = level.split(_THREADS)
        if len(folders) > _MOST_FOLDERS:
            yield from level.everything()
            return
        yield from entries

    waiting: deque[Future[list[dict[str, Any]]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for below in folders:
            waiting.append(pool.submit(below.everything))
            if len(waiting) > 2 * _THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


@dataclass(frozen=True)
class FolderLevel:
    """The files and folders directly below a folder of a store."""

    fs: fsspec.AbstractFileSystem
    folder: str

    def split(self, threads: int) -> tuple[list[dict[str, Any]], list[FolderLevel]]:
        """The files directly in the folder, and the folders in it. Raises OSError."""
        del threads  # one request
        entries: list[dict[str, Any]] = self.fs.ls(self.folder.rstrip("/"), detail=True)
        self.fs.invalidate_cache()
        folders = [entry["name"] for entry in entries if entry["type"] == "directory"]
        if any(name.rstrip("/") == self.folder.rstrip("/") for name in folders):
            # a folder without a name, as in a//b: its own listing would be this one once more
            return self.everything(), []
        files = [entry for entry in entries if entry["type"] != "directory"]
        return files, [FolderLevel(self.fs, name) for name in folders]

    def everything(self) -> list[dict[str, Any]]:
        """All files at any depth. Raises OSError."""
        found = list(self.fs.find(self.folder.rstrip("/"), detail=True).values())
        self.fs.invalidate_cache()  # the client would keep every listing
        return found


def _listed(
    fs: fsspec.AbstractFileSystem, info: dict[str, Any], root: str, *, explicit: bool = False
) -> Listed:
    path: str = info["name"]
    local = is_local(fs)
    size = info.get("size")
    listed = Listed(
        path if local else fs.unstrip_protocol(path),
        path[len(root) :].lstrip("/") if local else _below(public_uri(path), public_uri(root)),
        -1 if size is None else size,
        file_version(info),
        explicit,
    )
    if local:
        return with_status(listed)
    if {".", ".."}.intersection(path.split("/")):
        # clients of HTTP resolve such names, and would read another object
        error = ImageError("unreadable", "a name with the component . or .. cannot be asked for")
        return replace(listed, error=str(error))
    return listed


def _below(path: str, root: str) -> str:
    """The path under the input root, with every slash that the store has in it."""
    return path[len(root.rstrip("/")) :].removeprefix("/")
