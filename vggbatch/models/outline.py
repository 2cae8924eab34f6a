"""The outline of a network: its graph, ports and metadata without its weights.

A VGG's file is 550 MB, its outline a few kilobytes, which are all that describing it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import Message

from vggbatch.bounded import TooManyBytesError
from vggbatch.errors import UsageError
from vggbatch.models.verified import known_of
from vggbatch.preprocess.content import HEAD, recognize

MAX_BYTES = 2**31
"""Of a graph's file: more is no protobuf message."""
_SMALL = 4096
"""Bytes of a tensor that stays: counts of loops, shapes, and the like are."""
_VALUES = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
)


@dataclass(frozen=True)
class Outline:
    """What a graph's file is without its weights."""

    sha256: str
    """Of the whole file."""
    model: onnx.ModelProto
    """Tensors of more than 4 KiB have their name, type and shape alone."""


def read_outline(graph: Path, uri: str) -> Outline:
    """The outline of a network's file; a large file is read only where it has changed.

    Args:
        graph: the file on this machine.
        uri: names it in messages.

    Raises:
        UsageError: it is not there, cannot be read, or is no ONNX model.
    """
    try:
        noted = known_of(graph, f"outline, onnx {onnx.__version__}", lambda file: _find(file, uri))
    except FileNotFoundError:
        raise UsageError(f"no model file {uri}") from None
    except OSError as error:
        raise UsageError(f"cannot read {uri}: {error.strerror or error}") from None
    digest, _, content = noted.partition(b"\n")
    return Outline(digest.decode(), onnx.load_from_string(content))


def tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """The tensors of a model: initializers, and those of nodes, of their graphs and functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from tensors(part)


def _find(file: BinaryIO, uri: str) -> bytes:
    """The digest of a file, and its outline as a file."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooManyBytesError(f"more than {MAX_BYTES >> 20} MiB, the most of such a file")
    if not data:
        raise UsageError(f"{uri} is empty: get the file again")
    try:
        model = onnx.load_from_string(data)
    except Exception as error:
        raise UsageError(f"{uri} is no ONNX file{_instead(data, error)}") from None
    for tensor in tensors(model):
        if tensor.ByteSize() > _SMALL:
            for values in _VALUES:
                tensor.ClearField(values)
    digest = hashlib.sha256(data).hexdigest()
    return b"%s\n%s" % (digest.encode(), model.SerializeToString())


def _instead(data: bytes, error: Exception) -> str:
    """What a file is that is no ONNX file, and what to do."""
    content = recognize(data[:HEAD])
    if content is None:
        return f" ({type(error).__name__})"
    if "git lfs" in content.advice:
        return f" but {content}"
    return f" but {content.name.removesuffix(', not an image')}: get the file again"
