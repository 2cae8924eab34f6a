"""The folder where model files are kept, and the few things that make sharing it safe."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

BLOCK = 8 * 2**20


def cache_folder(cache_dir: str | None = None) -> Path:
    """The cache: as given, else $VGGBATCH_CACHE_DIR, $XDG_CACHE_HOME/vggbatch, ~/.cache/vggbatch.

    It can be moved and shared: nothing in it holds its own path, every file is named after its
    content and appears whole or not at all.
    """
    chosen = cache_dir or os.environ.get("VGGBATCH_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vggbatch"


def weights_path(cache_dir: str | None, sha256: str, file: str) -> Path:
    """Where a model's original bytes are kept."""
    return cache_folder(cache_dir) / "weights" / sha256[:16] / file


def sha256_of(file: Path | BinaryIO) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return sha256_of(opened)
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
