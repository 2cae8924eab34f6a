"""Files that outlive a power cut: their bytes, and the names that lead to them, are on the disk."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(source: Path, target: Path) -> None:
    """Give a file its name, once its bytes are on the disk, and see the name there too."""
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.write_bytes(data)
        move_into_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)
