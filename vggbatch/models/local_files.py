"""The files of an own network, the graph and its external weights, on disk or at a URI."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import onnx
from filelock import FileLock

from vggbatch import json_text, uris
from vggbatch.bounded import (
    TooManyBytesError,
    is_web,
    limited,
    refuse_compressed,
)
from vggbatch.errors import UsageError
from vggbatch.models.cache import BLOCK, open_cache, weights_path
from vggbatch.models.durable import move_into_place, write_durably
from vggbatch.models.graphs.endless import check_ends
from vggbatch.models.model import ModelFile
from vggbatch.models.outline import MAX_BYTES, read_outline, tensors
from vggbatch.models.verified import digest_of, is_intact
from vggbatch.storage.filesystem import (
    file_version,
    filesystem,
    is_local,
    public_uri,
    store_errors,
)

_MAX_WEIGHTS_BYTES = 2**36
"""Of a file with external weights."""


@dataclass(frozen=True)
class LocalModel:
    """An own network whose files are on this machine."""

    graph: Path
    files: tuple[ModelFile, ...]
    """The graph first, then its external weights."""
    outline: onnx.ModelProto = field(compare=False, repr=False)
    """The graph without its weights."""

    @property
    def sha256(self) -> str:
        """Of the graph where it is the only file, else of the names and digests of all."""
        if len(self.files) == 1:
            return self.files[0].sha256
        listing = "".join(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()


def localise(uri: str, cache_dir: str | None) -> LocalModel:
    """Find the files of a network, and get them into the cache if they are not on this machine.

    What is at a URI is read again only if the store says that it has changed.

    Raises:
        UsageError: they are not there, cannot be read, or are no ONNX model.
    """
    fs, path = filesystem(uri)
    if is_local(fs):
        # not resolved: what a link is named is what the graph and its neighbors go by
        graph = Path(os.path.abspath(Path(path).expanduser()))
        uris.check_utf8(str(graph))
        read = _read(graph, public_uri(uri))
        try:
            local = LocalModel(graph, _described(graph.parent, read), read.outline)
        except FileNotFoundError as error:
            raise UsageError(f"{uri} keeps its weights in {error.filename}, not there") from None
        except (OSError, ValueError) as error:
            # a folder, a pipe, a name that no file can have, more bytes than weights have
            what = getattr(error, "strerror", None) or error
            raise UsageError(f"the weights of {uri} cannot be read: {what}") from None
        return _without_links(local, cache_dir)
    root = open_cache(cache_dir) / "weights"
    root.mkdir(parents=True, exist_ok=True)
    record = root / f"uri-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.json"
    with FileLock(record.with_suffix(".lock")):
        return _recorded(uri, record) or _fetched(uri, root, record)


def sibling(uri: str, name: str) -> str:
    """The URI of a file in the same folder; a query, such as an access token, stays."""
    if uri.startswith(("http://", "https://")):
        parts = urlsplit(uri)
        return urlunsplit(parts._replace(path=sibling(parts.path, name)))
    folder, slash, _ = uri.rpartition("/")
    return f"{folder}{slash}{name}"


def read_blocks(uri: str, limit: int = _MAX_WEIGHTS_BYTES) -> Iterator[bytes]:
    """The content of a file at a URI, of at most `limit` bytes. Raises OSError."""
    fs, path = filesystem(uri)
    streamed: dict[str, Any] = {}
    if is_web(fs):
        # a server need not know ranges for a file that is read from front to back
        headers = {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        streamed = {"block_size": 0, "headers": headers}
    with store_errors(), fs.open(path, "rb", **streamed) as file:
        if is_web(fs):
            refuse_compressed(file.r.headers)
        size, done = getattr(file, "size", None), 0
        for block in limited(iter(lambda: file.read(BLOCK), b""), limit, size):
            done += len(block)
            yield block
    if size is not None and done != size:
        raise OSError(f"ended after {done} of {size} bytes")


def write_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)


@dataclass(frozen=True)
class _Graph:
    outline: onnx.ModelProto
    file: ModelFile
    external: list[str]
    """Names of the files that keep its weights."""


def _described(folder: Path, graph: _Graph) -> tuple[ModelFile, ...]:
    return (graph.file, *(ModelFile(name, _digest(folder / name)) for name in graph.external))


def _digest(path: Path) -> str:
    """SHA-256 of a file of weights. Raises OSError for one that has more bytes than those have."""
    if path.stat().st_size > _MAX_WEIGHTS_BYTES:
        raise TooManyBytesError(f"{path} has more than {_MAX_WEIGHTS_BYTES >> 30} GiB")
    return digest_of(path)


def _read(graph: Path, uri: str) -> _Graph:
    """Read the graph's file, where it is not known, and check it."""
    outline = read_outline(graph, uri)
    check_ends(outline.model, uri)
    names: dict[str, None] = {}
    for tensor in tensors(outline.model):
        for entry in tensor.external_data:
            if entry.key == "location":
                names[entry.value] = None
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(f"{uri} keeps weights outside its folder ({name}); export it again")
    names.pop(graph.name, None)
    return _Graph(outline.model, ModelFile(graph.name, outline.sha256), list(names))


def _without_links(model: LocalModel, cache_dir: str | None) -> LocalModel:
    """The network as files of its own, where it is links to several, as in a hub's cache.

    Neither onnx nor onnxruntime follows a link from a graph to its weights, since that may lead
    anywhere, and onnx takes no hard links either: the files are copied, once.
    """
    folder = model.graph.parent
    if len(model.files) == 1 or not any((folder / file.name).is_symlink() for file in model.files):
        return model
    open_cache(cache_dir)
    target = weights_path(cache_dir, model.sha256, model.graph.name)
    for file in reversed(model.files):  # the graph last: where it is, its weights are
        path = target.parent / file.name
        if is_intact(path, file.sha256):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        shutil.copyfile(folder / file.name, part)
        move_into_place(part, path)
    return replace(model, graph=target)


def _recorded(uri: str, record: Path) -> LocalModel | None:
    """What was fetched before, if it is still there, whole, and the store has nothing newer."""
    try:
        known: dict[str, Any] = json_text.parse(record.read_bytes())
        graph = record.parent / known["graph"]
        files = tuple(ModelFile(**file) for file in known["files"])
        recorded = list(known["versions"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not all(is_intact(graph.parent / file.name, file.sha256) for file in files):
        return None
    try:
        versions = [_version(sibling(uri, file.name)) for file in files]
    except OSError as error:
        raise _unreadable(uri, error) from None
    if versions != recorded or not all(versions):
        return None
    return LocalModel(graph, files, _read(graph, public_uri(uri)).outline)


def _fetched(uri: str, root: Path, record: Path) -> LocalModel:
    name = uris.base_name(uri)
    work = Path(tempfile.mkdtemp(prefix=".incoming-", dir=root))
    try:
        versions = [_version(uri)]
        write_blocks(work / name, read_blocks(uri, MAX_BYTES))
        read = _read(work / name, public_uri(uri))
        for other in read.external:
            versions.append(_version(sibling(uri, other)))
            write_blocks(work / other, read_blocks(sibling(uri, other)))
        files = _described(work, read)
        model = LocalModel(work / name, files, read.outline)
        target = weights_path(str(root.parent), model.sha256, name)
        for file in reversed(files):  # the graph last: where it is, its weights are
            (target.parent / file.name).parent.mkdir(parents=True, exist_ok=True)
            move_into_place(work / file.name, target.parent / file.name)
    except OSError as error:
        raise _unreadable(uri, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    known = {
        "versions": versions,
        "graph": target.relative_to(root).as_posix(),
        "files": [asdict(file) for file in files],
    }
    write_durably(record, json.dumps(known, indent=1).encode())
    return replace(model, graph=target)


def _version(uri: str) -> str:
    """Changes when the file does, as far as its store says; "" if it says nothing."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    with store_errors():
        info = fs.info(path)
    version = file_version(info)
    return version and f"{info['size']} {version}"


def _unreadable(uri: str, error: OSError) -> UsageError:
    reason: BaseException = error
    if isinstance(error, FileNotFoundError):
        # fsspec's HTTP client says so of all that goes wrong, and keeps what it was as the cause
        cause = error.__cause__
        if cause is None or getattr(cause, "status", None) == 404:
            return UsageError(f"no model file {public_uri(uri)}")
        reason = cause
    name = f"{type(reason).__name__}: " if getattr(reason, "status", None) is None else ""
    text = " ".join(str(getattr(reason, "message", reason)).split())
    return UsageError(f"cannot read {public_uri(uri)}: {name}{text}")
