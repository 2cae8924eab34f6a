"""An entry of prepared networks in the cache: its files, and a document that says what they are.

`prepared.json` names what the entry was made from and by (its key), the size and SHA-256 of each
file, and has a SHA-256 of its own. An entry that does not fit it, in whatever way, is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbatch import json_text
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.models.cache import cache_fault, refusal
from vggbatch.models.durable import sync
from vggbatch.models.verified import is_intact, sha256_of


@dataclass(frozen=True)
class Variant:
    """Which of the files that can be prepared from a network."""

    features: bool | str
    """Give the last hidden layer's activations too, or those of the tensor of this name."""
    dense: bool
    """Take images of any size."""
    normalize: Preprocess | None
    """Do this arithmetic in the graph."""
    portable: bool = False
    """Leave it to whatever opens the file to optimize it: not only onnxruntime's CPU kernels."""


FILES = ("model.onnx", "model.data")
_DOCUMENT = "prepared.json"


def seal(folder: Path, key: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Describe the files of a new entry, and see all of it on the disk.

    Args:
        folder: with the files; not yet under its name in the cache.
        key: what the entry was made from and by.
        facts: of the network.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        files[path.name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    content = {"key": key, "files": files, "facts": facts}
    document = {"sha256": _digest(content), **content}
    (folder / _DOCUMENT).write_text(json.dumps(document, indent=1))
    sync(folder / _DOCUMENT)
    sync(folder)


def facts_of(folder: Path, key: Mapping[str, Any], *, quick: bool = False) -> dict[str, Any] | None:
    """The facts of an entry; None where it is missing, damaged, or of something else.

    Args:
        folder: of the entry.
        key: what it must have been made from and by.
        quick: compare the sizes of its files, not their content.

    Raises:
        UsageError: somebody else could have written it.
    """
    if not folder.exists():
        return None
    document = _document(folder)
    for path in (folder, folder / _DOCUMENT, *(folder / name for name in FILES)):
        fault = cache_fault(path)
        if fault:
            raise UsageError(refusal(path, fault))
    if document is None or document["key"] != json.loads(json.dumps(key)):
        return None
    for name, file in document["files"].items():
        path = folder / name
        if quick and not (path.is_file() and path.stat().st_size == file["size"]):
            return None
        if not quick and not is_intact(path, file["sha256"], file["size"]):
            return None
    facts: dict[str, Any] = document["facts"]
    return facts


def _document(folder: Path) -> dict[str, Any] | None:
    """The entry's document, if it is whole."""
    try:
        document = json_text.parse((folder / _DOCUMENT).read_bytes())
        content = {name: document[name] for name in ("key", "files", "facts")}
        whole = document["sha256"] == _digest(content) and "model.onnx" in content["files"]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return None
    return content if whole else None


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
