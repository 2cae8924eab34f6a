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
from pathlib import Path

log = logging.getLogger(__name__)


def ensure_private_token() -> dict[str, str]:
    """Make the token that a local Ray will use, or close the file of one that is there already.

    Does nothing where the user gives a token or has switched tokens off.

    Returns:
        Variables that Ray needs in the environment: the token, where the home folder takes no file.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return {}
    try:
        _private_token_file(Path.home() / ".ray" / "auth_token")
    except (OSError, RuntimeError) as error:
        log.info("no token file in the home folder: %s", error)
        return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {}


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
