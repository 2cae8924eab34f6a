"""Making files on a local disk survive a power cut: what is synced beside the file itself."""

from __future__ import annotations

import os


def make_directories(path: str) -> None:
    """Make a folder with its parents, each of them synced into the one above it."""
    missing, above = [], path
    while above and not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, exist_ok=True)
    for new in reversed(missing):
        sync_directory(os.path.dirname(new) or ".")


def sync_directory(path: str) -> None:
    """Make what was created, renamed or deleted in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
