"""A network's original files on this node, their SHA-256 checked, from wherever they can be had."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

from vggbatch.errors import VggbatchError
from vggbatch.models.cache import sha256_of, weights_path
from vggbatch.models.local_files import read_blocks, sibling, write_blocks
from vggbatch.models.model import Model
from vggbatch.storage.filesystem import public_uri
from vggbatch.uris import base_name

Source = Callable[[str], Iterable[bytes]]
"""Gives the bytes of one of the model's files by its name."""


def original_file(model: Model, work: Path, cache_dir: str | None, source: Source | None) -> Path:
    """The graph file, with the files that keep its weights beside it.

    Taken from the cache or the path it has on the driver, if this node has the same file there;
    else handed over by `source`, or read from its URI into `work`.

    Raises:
        VggbatchError: the bytes are missing or have another SHA-256.
    """
    uri = model.uri or "original.onnx"
    name = base_name(uri)
    if model.synthetic:
        return work / name
    fault: str | None = None
    for candidate in (weights_path(cache_dir, model.sha256, name), Path(uri)):
        if candidate.is_file():
            fault = _fault(model, candidate.parent)
            if fault is None:
                return candidate
    local = os.path.isabs(uri)
    if source is not None or not local:
        try:
            for file in model.files:
                given = source(file.name) if source else read_blocks(sibling(uri, file.name))
                write_blocks(work / file.name, given)
        except OSError as error:
            raise _cannot_read(uri, " ".join(str(error).split())) from None
        fault = _fault(model, work)
    elif fault is None:
        raise _cannot_read(uri, "no such file")
    if fault is not None:
        raise VggbatchError(fault)
    return work / name


def _fault(model: Model, folder: Path) -> str | None:
    """What is wrong with the model's files in a folder."""
    for file in model.files:
        path = folder / file.name
        if not path.is_file():
            return f"{model.name} lacks its file {path}"
        digest = sha256_of(path)
        if digest != file.sha256:
            return (
                f"{path} is not {model.name}: its SHA-256 is {digest[:16]}..., not "
                f"{file.sha256[:16]}...; delete it and pull again"
            )
    return None


def _cannot_read(uri: str, reason: str) -> VggbatchError:
    return VggbatchError(f"cannot read {public_uri(uri)} on {platform.node()}: {reason}")
