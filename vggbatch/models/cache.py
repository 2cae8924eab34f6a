"""The folder where model files are kept, and what makes it safe to keep networks there."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from vggbatch.errors import UsageError
from vggbatch.models.verified import sha256_of

__all__ = [
    "cache_fault",
    "cache_folder",
    "check_cache",
    "open_cache",
    "sha256_of",
    "trust_cache",
    "weights_path",
]

BLOCK = 8 * 2**20
TRUSTED_VARIABLE = "VGGBATCH_CACHE_TRUSTED"
_trusted: set[Path] = set()


def cache_folder(cache_dir: str | None = None) -> Path:
    """The cache: as given, else $VGGBATCH_CACHE_DIR, $XDG_CACHE_HOME/vggbatch, ~/.cache/vggbatch.

    It can be moved and shared: nothing in it holds its own path, every file is named after its
    content and appears whole or not at all.

    Raises:
        UsageError: there is no home folder.
    """
    chosen = cache_dir or os.environ.get("VGGBATCH_CACHE_DIR")
    base = chosen or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser()
    except RuntimeError:
        raise UsageError(
            "this user has no home folder for the model cache: set VGGBATCH_CACHE_DIR"
        ) from None
    return folder if chosen else folder / "vggbatch"


def open_cache(cache_dir: str | None = None) -> Path:
    """The cache, made if it is not there: for its owner alone.

    Raises:
        UsageError: it cannot be made, or somebody else could replace what is in it.
    """
    folder = cache_folder(cache_dir)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(
            f"cannot make the model cache {folder} ({error.strerror}): set cache_dir or "
            "VGGBATCH_CACHE_DIR to another folder"
        ) from None
    check_cache(cache_dir)
    return folder


def check_cache(cache_dir: str | None = None) -> None:
    """Refuse a cache whose networks somebody else could replace; one that is not there is none.

    A cache is fit where it and its folders belong to this user or root and nobody else may write
    to them, where nobody at all may (mode, or a file system that is mounted read-only), or where
    the user trusts it.

    Raises:
        UsageError: it is not fit; says why.
    """
    folder = cache_folder(cache_dir)
    for place in (folder, folder / "weights", folder / "prepared"):
        fault = cache_fault(place)
        if fault:
            raise UsageError(refusal(place, fault))


def refusal(place: Path, fault: str) -> str:
    """The line that refuses a cache for a folder or file in it."""
    return (
        f"the model cache is not safe: {place} {fault}. Take it from others (chmod go-w), name "
        f"another folder (cache_dir, VGGBATCH_CACHE_DIR), or trust it with cache_trusted=true or "
        f"{TRUSTED_VARIABLE}=true"
    )


def trust_cache(cache_dir: str | None = None) -> None:
    """Let this process use a cache that others may write to."""
    _trusted.add(cache_folder(cache_dir).absolute())


def cache_fault(place: Path) -> str | None:
    """What lets somebody else replace a folder or file of a cache; None where nothing does.

    Args:
        place: the cache's folder, or a path inside.
    """
    if _is_trusted(place):
        return None
    try:
        found = place.stat()
        read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    mode = stat.S_IMODE(found.st_mode)
    if read_only or not mode & 0o222:
        return None
    if found.st_uid not in (os.geteuid(), 0):
        return f"belongs to {_user_name(found.st_uid)}"
    group = mode & 0o020 and not _is_own_group(found.st_gid)
    return f"can be written by others (mode {mode:04o})" if group or mode & 0o002 else None


def weights_path(cache_dir: str | None, sha256: str, file: str) -> Path:
    """Where a model's original bytes are kept."""
    return cache_folder(cache_dir) / "weights" / sha256[:16] / file


def _is_trusted(place: Path) -> bool:
    if os.environ.get(TRUSTED_VARIABLE, "").lower() in ("1", "true", "yes", "on"):
        return True
    path = place.absolute()
    return not _trusted.isdisjoint((path, *path.parents))


def _user_name(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the number {number}"


def _is_own_group(number: int) -> bool:
    """Whether a group is one that a system makes for each user, with nobody else in it."""
    try:
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(number)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}
