"""What keeps a Ray that a run starts for itself from everybody but its own user.

Such a Ray needs no network: its processes are all on this machine. So its node takes the loopback
address, and each of its ports listens there alone; by default most of them listen on every
interface. The users of the same machine are kept out by Ray's token, whose file only its owner may
read; Ray itself writes it by the umask, as a rule readable by all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ray._private import ray_constants

LOOPBACK = "127.0.0.1"
_SWITCH = "ENABLE_RAY_CLUSTER"
"""Ray's own switch, off by default on Windows and macOS alone. While it is on, Ray replaces a
loopback address by one that other machines reach."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Let a Ray that is started within the block use the loopback address alone."""
    before = getattr(ray_constants, _SWITCH, None)
    if before is None:
        log.warning("this version of Ray listens on every interface; its token keeps others out")
        yield
        return
    setattr(ray_constants, _SWITCH, False)
    try:
        yield
    finally:
        setattr(ray_constants, _SWITCH, before)


def ensure_private_token() -> None:
    """Make the token that a local Ray will use, or close the file of one that is there already.

    Does nothing where the user gives a token or has switched tokens off. Where the home folder
    takes no file, the token is in this process's environment, which its children inherit.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        _private_token_file(Path.home() / ".ray" / "auth_token")
    except (OSError, RuntimeError) as error:
        log.info("no token file in the home folder: %s", error)
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _private_token_file(path: Path) -> None:
    """Make a file with a token that only its owner can read; one that is there keeps its token."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(path.parent)
    if path.exists() and not path.stat().st_size:
        path.unlink()
    if not path.exists():
        # linked into place, so that another process finds no token or a whole one
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):
                os.link(partial, path)
        finally:
            partial.unlink()
    _close_to_others(path)


def _close_to_others(path: Path) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 and found.st_uid == os.geteuid():
        path.chmod(mode & ~0o077)
