"""The files below a folder of this machine: links followed, and an end in any case."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vggbatch.errors import ImageError
from vggbatch.sources.input_warnings import DEAD_LINK, HIDDEN, LOOP, SPECIAL, LeftOut
from vggbatch.sources.listed import Listed
from vggbatch.sources.names import is_hidden

_MOST_VISITS = 16
"""Of a folder by way of links. Folders full of links to each other have as many paths as there are
orders of them: a dozen, half a billion."""

_TYPES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@dataclass(frozen=True)
class _Folder:
    path: str
    above: frozenset[tuple[int, int]]
    """Device and inode of the folders above."""
    linked: bool
    """Whether a link leads here or to a folder above."""


def walk_local(top: str, root: str, left_out: LeftOut) -> Iterator[Listed]:
    """The visible files at any depth. What cannot be read is an entry with an error.

    Args:
        top: the folder.
        root: what names begin after.
        left_out: counts what is hidden and what would not end.

    Raises:
        OSError: `top` itself cannot be read.
    """
    visits: Counter[tuple[int, int]] = Counter()
    waiting = deque([_Folder(top, frozenset(), linked=False)])
    links: deque[_Folder] = deque()
    while waiting or links:
        # the folders themselves before links to them, and short ways before long ones
        folder = waiting.popleft() if waiting else links.popleft()
        try:
            status = os.stat(folder.path)
            identity = (status.st_dev, status.st_ino)
            visits[identity] += folder.linked
            often = folder.linked and visits[identity] > _MOST_VISITS
            if identity in folder.above or often:
                left_out.add(LOOP, _name(folder.path, root), folder.path)
                continue
            above = folder.above | {identity}
            folders: list[_Folder] = []
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        left_out.add(HIDDEN, _name(entry.path, root), entry.path)
                    elif _is_folder(entry):
                        linked = folder.linked or entry.is_symlink()
                        folders.append(_Folder(entry.path, above, linked))
                    else:
                        yield _file(entry, root)
        except OSError as error:
            if folder.path == top:
                raise
            yield Listed(folder.path, _name(folder.path, root), -1, "", error=_said(error))
            continue
        for below in sorted(folders, key=lambda f: f.path):
            (links if below.linked else waiting).append(below)


def with_status(listed: Listed) -> Listed:
    """A file of this machine with what is wrong with it, if it is none that can be read."""
    try:
        mode = os.stat(listed.uri).st_mode
    except FileNotFoundError:
        return replace(listed, size=-1)
    except OSError as error:
        return replace(listed, size=-1, error=_said(error), fault=DEAD_LINK)
    return listed if stat.S_ISREG(mode) else _special(listed, mode)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads to itself, or into a folder that may not be entered


def _file(entry: os.DirEntry[str], root: str) -> Listed:
    name = _name(entry.path, root)
    try:
        found = entry.stat()
    except FileNotFoundError:
        return Listed(entry.path, name, -1, "")  # dangling, or deleted: reading it says so
    except OSError as error:
        return Listed(entry.path, name, -1, "", error=_said(error), fault=DEAD_LINK)
    listed = Listed(entry.path, name, found.st_size, str(found.st_mtime_ns))
    return listed if stat.S_ISREG(found.st_mode) else _special(listed, found.st_mode)


def _special(listed: Listed, mode: int) -> Listed:
    what = _TYPES.get(stat.S_IFMT(mode), "something else")
    error = ImageError("unreadable", f"{what}, and no file")
    return replace(listed, size=-1, version="", error=str(error), fault=SPECIAL)


def _said(error: OSError) -> str:
    return str(ImageError("unreadable", error.strerror or str(error)))


def _name(path: str, root: str) -> str:
    return (os.path.relpath(path, root) if root == "/" else path[len(root) :]).lstrip("/")
