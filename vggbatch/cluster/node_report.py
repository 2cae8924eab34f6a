"""What a node has and may do, found out on the node itself in a fraction of a second."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vggbatch.bounded import open_regular
from vggbatch.errors import VggbatchError
from vggbatch.memory import free_memory
from vggbatch.models.cache import cache_folder, check_cache, trust_cache
from vggbatch.output.names import STATE
from vggbatch.preprocess.places import Places, places_here
from vggbatch.storage.filesystem import Folder, filesystem, is_local
from vggbatch.storage.stores import store_of
from vggbatch.versions import result_versions


@dataclass(frozen=True)
class NodeCheck:
    """What is asked of every node; small, and pickled to each."""

    inputs: tuple[str, ...]
    """URIs of files that the run is to read."""
    output: str
    """URI of the output."""
    write: bool
    """Try to write there, by a file that is deleted again at once."""
    mark: str | None
    """A file in the output that every node must see, where the output is a plain folder."""
    cache_dir: str | None
    models: tuple[str, ...]
    """The networks' names, as their prepared folders begin."""
    temporary: str
    """A folder on the disk that Ray keeps its files on."""
    cache_trusted: bool = False
    """Whether the cache may be one that others can write to."""
    image_memory_mb: int = 1536
    """Memory that decoding an image may take (`decode.max_memory_mb`)."""


@dataclass(frozen=True)
class NodeReport:
    """What a node answers."""

    host: str
    versions: dict[str, str]
    """Of everything that changes a result."""
    instructions: str
    """The widest vector instructions, which low-precision arithmetic depends on."""
    memory: int
    """Bytes that processes can still get."""
    cache: str
    """Folder of the model cache."""
    cache_free: int
    """Bytes on its disk."""
    cache_writable: bool
    cache_refusal: str | None
    """Why its networks may not be used: somebody else could replace them."""
    temporary_free: int
    """Bytes on the disk of Ray's temporary folder."""
    prepared: bool
    """Whether prepared files of all networks are in the cache."""
    large_images: Places
    """How many large images are decoded at a time, and the memory of each."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Input -> why it cannot be read."""
    output_unseen: bool = False
    """The output's folder is another one here."""
    output_failure: str | None = None
    """Why nothing can be written to the output."""


def inspect_node(question: NodeCheck, after: object = None) -> NodeReport:
    """Look at this node; as a task, once another, `after`, has ended."""
    output = Folder(question.output)
    kept = cache_folder(question.cache_dir)
    unseen = question.mark is not None and not os.path.exists(output.path(question.mark))
    return NodeReport(
        host=socket.gethostname(),
        versions=result_versions(),
        instructions=vector_instructions(),
        memory=free_memory(),
        cache=str(kept),
        cache_free=shutil.disk_usage(existing(kept)).free,
        cache_writable=may_write(kept),
        cache_refusal=_cache_refusal(question),
        temporary_free=shutil.disk_usage(existing(Path(question.temporary))).free,
        prepared=all(_prepared(kept, model) for model in question.models),
        large_images=places_here(question.image_memory_mb),
        unreadable=unreadable(question.inputs),
        output_unseen=unseen,
        output_failure=_failure(lambda: _write(output)) if question.write and not unseen else None,
    )


def unreadable(uris: tuple[str, ...]) -> dict[str, str]:
    """Which of some files cannot be read from here, and why."""
    failures = {uri: _failure(lambda uri=uri: _read(uri)) for uri in uris}  # type: ignore[misc]
    return {uri: failure for uri, failure in failures.items() if failure}


def vector_instructions() -> str:
    """The widest vector instructions of this CPU, by Linux's names; `unknown` elsewhere."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "unknown"
    names = ("amx_int8", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "i8mm", "asimddp", "asimd")
    return next((name for name in names if name in flags), "unknown")


def existing(path: Path) -> Path:
    """The path, or the folder above it that is there."""
    path = path.absolute()
    while not os.path.exists(path):
        path = path.parent
    return path


def may_write(path: Path) -> bool:
    """Whether this process may write to a folder, or make it where it is not there yet."""
    path = existing(path)
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def _cache_refusal(question: NodeCheck) -> str | None:
    if question.cache_trusted:
        trust_cache(question.cache_dir)
    try:
        check_cache(question.cache_dir)
    except VggbatchError as error:
        return str(error)
    return None


def _prepared(kept: Path, model: str) -> bool:
    try:
        return any(kept.glob(f"prepared/{model}-*/prepared.json"))
    except PermissionError:
        return False


def _read(uri: str) -> None:
    fs, path = filesystem(uri)
    if is_local(fs):
        with open_regular(path) as file:
            file.read(1)
    else:
        store, path = store_of(uri)
        store.read(path, 0, 1)


def _write(output: Folder) -> None:
    name = f"{STATE}/.probe-{uuid.uuid4().hex}"
    output.write_bytes(name, b"")
    output.delete(name)


def _failure(action: Callable[[], None]) -> str | None:
    try:
        action()
    except Exception as error:
        text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        return " ".join(text.split())[:300]
    return None
