"""A thin folder over fsspec: the few file operations needed, the same on disk and in a bucket.

Writes are atomic (a reader sees the whole file or none): on a local disk by writing beside the
target, syncing and renaming; in an object store because a PUT is.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import fsspec
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem

from vggbatch import text, uris
from vggbatch.bounded import TooManyBytesError, read_at_once, read_bounded
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.extras import command_for
from vggbatch.storage.disk import make_directories, sync_directory

if TYPE_CHECKING:
    import pyarrow as pa

public_uri = text.public

MAX_DOCUMENT = 2**26
"""Bytes of a document of an output; that of the largest run has a few megabytes."""

# What these log, with a traceback or on ten lines, they raise as well: it is shown as one line.
for _name in ("gcsfs", "azure.identity"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def arrow_file(data: bytes) -> pa.BufferReader:
    """Bytes for Arrow to read, in memory of Arrow's own.

    Arrow's threads let go of what they read from some time after the caller has its table. If that
    belongs to Python and the interpreter is ending, the process aborts: 1 in 12 short commands did.
    """
    import pyarrow as pa

    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return pa.BufferReader(buffer)


class NoClient(UsageError):
    """A store whose package is not installed, or whose client cannot be made as things are."""


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem behind a path or URI, if it may be opened (see uris.py), and the path inside.

    Credentials come from the environment or the machine's role, never from here, so a URI can be
    pickled, logged and recorded.

    Raises:
        Refused: it may not be opened.
        NoClient: the store's package is not installed, or its client lacks something.
    """
    uris.check(uri)
    if uris.is_local(uri):
        return _local(), uris.local_path(uri)
    protocol = uris.protocol(uri) or ""
    try:
        # not url_to_fs, which takes a name with `::` for filesystems one behind the other
        kind = _class_of(protocol)
        fs = kind(**kind._get_kwargs_from_urls(uri))
        path: str = fs._strip_protocol(protocol + uri[len(protocol) :])
    except ImportError as error:
        advice = f": {found}" if (found := command_for(protocol)) else ""
        raise NoClient(
            f"{protocol}:// needs a package that is not installed{advice} ({error})"
        ) from None
    except ValueError as error:
        raise NoClient(f"cannot open {uri}: {error}") from None
    return fs, path


def _class_of(protocol: str) -> Any:
    if protocol in ("http", "https"):
        from vggbatch.storage.web import WebFileSystem

        return WebFileSystem
    return fsspec.get_filesystem_class(protocol)


@cache
def _local() -> LocalFileSystem:
    return LocalFileSystem()


def is_local(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether the filesystem is this machine's own."""
    return isinstance(fs, LocalFileSystem)


def join(uri: str, *parts: str) -> str:
    """A URI or path with further components."""
    return "/".join([uri.rstrip("/") if uri != "/" else "", *parts])


@dataclass(frozen=True)
class FileInfo:
    """One file in a listing."""

    path: str
    """Path relative to the folder that was listed."""
    size: int
    """Bytes."""
    version: str
    """Changes when the content does: an ETag, or the modification time in nanoseconds."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Make what a store's client raises an OSError: botocore's errors, for one, are none."""
    try:
        yield
    except (OSError, VggbatchError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def unwritable(uri: str, error: OSError) -> UsageError:
    """The error of a place that does not take what is written to it."""
    return UsageError(f"cannot write to {uri} ({error.strerror or error}): name another output")


def write_file(uri: str, data: bytes) -> None:
    """Write a whole file, atomically.

    Raises:
        UsageError: the place cannot be written to.
    """
    parent, _, name = uri.rpartition("/")
    try:
        Folder(parent or ("/" if uri.startswith("/") else ".")).write_bytes(name, data)
    except OSError as error:
        raise unwritable(uri, error) from None


class Folder:
    """A folder on any fsspec filesystem. Cheap to make; pickles as its URI alone."""

    def __init__(self, uri: str | os.PathLike[str]) -> None:
        uri = os.fspath(uri)
        if not uri.strip():
            raise UsageError("a folder is empty text: is a variable of the shell not set?")
        plain = uri.rstrip("/") if len(uri) > 1 else uri
        self.fs, self.root = filesystem(plain)
        # absolute, for another process may have another working directory
        self.uri = self.root if is_local(self.fs) else plain

    def __reduce__(self) -> tuple[type[Folder], tuple[str]]:
        return Folder, (self.uri,)

    def __repr__(self) -> str:
        return f"Folder({self.uri!r})"

    @property
    def local(self) -> bool:
        """Whether the folder is on this machine's disk."""
        return is_local(self.fs)

    def path(self, name: str) -> str:
        """The path of a file inside, as the filesystem knows it."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder is there, asked of the store and not of a cache."""
        self.fs.invalidate_cache()
        with store_errors():
            return bool(self.fs.exists(self.path(name)))

    def read_bytes(self, name: str, limit: int = MAX_DOCUMENT) -> bytes:
        """The content of a file.

        Args:
            name: its path inside.
            limit: bytes that it has at most, be it on a disk or in a store.

        Raises:
            UsageError: it has more.
            FileNotFoundError: it is not there.
        """
        path = self.path(name)
        try:
            if self.local:
                return read_bounded(self.fs, path, limit)
            with store_errors():
                return read_at_once(self.fs, path, limit)
        except TooManyBytesError as error:
            raise UsageError(f"{text.public(self.uri)}/{name} has {error}") from None
        except NotADirectoryError as error:  # the folder, or one above, is a file
            raise FileNotFoundError(*error.args) from None

    @contextmanager
    def open_atomic(self, name: str) -> Iterator[BinaryIO]:
        """A file to write that appears under its name only if the block ends without an error."""
        path = self.path(name)
        if not self.local:
            with tempfile.NamedTemporaryFile() as spool:
                yield spool  # type: ignore[misc]
                spool.flush()
                with store_errors():
                    self.fs.put_file(spool.name, path)
            return
        make_directories(os.path.dirname(path))
        # hidden, for readers of a whole folder must not stumble over what a killed writer left
        folder, _, base = path.rpartition("/")
        partial = f"{folder}/.{base}.{uuid.uuid4().hex[:8]}.partial"
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise
        sync_directory(os.path.dirname(path))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a whole file atomically."""
        if self.local:
            with self.open_atomic(name) as file:
                file.write(data)
        else:
            with store_errors():
                self.fs.pipe_file(self.path(name), data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as indented JSON, atomically."""
        written = json.dumps(value, indent=1, ensure_ascii=False, default=str)
        self.write_bytes(name, written.encode() + b"\n")

    def check_writable(self) -> None:
        """Make sure, before long work, that its result can be written: by writing a small file.

        Raises:
            UsageError: it cannot.
        """
        name = f".{uuid.uuid4().hex[:8]}.partial"
        try:
            self.write_bytes(name, b"")
            self.delete(name)
        except OSError as error:
            raise unwritable(self.uri, error) from None

    def list(self, name: str = "", *, suffix: str = "") -> list[FileInfo]:
        """The files directly inside a sub-folder, sorted by name; none if it does not exist."""
        self.fs.invalidate_cache()
        try:
            with store_errors():
                entries = self.fs.ls(self.path(name), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # an object named `a/` stands for an empty folder, which some servers and consoles make
        files = [
            entry
            for entry in entries
            if entry["type"] == "file"
            and entry["name"].endswith(suffix)
            and entry["name"][-1] != "/"
        ]
        prefix = f"{name}/" if name else ""
        infos = [
            FileInfo(prefix + e["name"].rsplit("/", 1)[-1], e["size"] or 0, file_version(e))
            for e in files
        ]
        return sorted(infos, key=lambda info: info.path)

    def folders(self, name: str = "") -> Sequence[str]:
        """The names of the folders directly inside a sub-folder; none if it does not exist."""
        self.fs.invalidate_cache()
        try:
            with store_errors():
                entries = self.fs.ls(self.path(name), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        paths = [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]
        return [path.rsplit("/", 1)[-1] for path in paths]

    def walk(self, name: str) -> Iterator[str]:
        """The files below a sub-folder, and on a disk the folders; none if it does not exist."""
        self.fs.invalidate_cache()
        try:
            with store_errors():
                paths = self.fs.find(self.path(name), withdirs=self.local)
        except (FileNotFoundError, NotADirectoryError):
            return
        start = len(self.path("x")) - 1
        yield from (path[start:] for path in paths if len(path) > start)

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        with suppress(FileNotFoundError), store_errors():
            self.fs.rm_file(self.path(name))

    def remove_objects(self, paths: Sequence[str]) -> None:
        """Remove files of a store, by their paths as the filesystem knows them.

        Clients take a path with a `*`, `?` or `[` for a pattern when they remove several, which
        would remove what is of another output.
        """
        plain = [path for path in paths if not has_magic(path)]
        with suppress(FileNotFoundError), store_errors():
            if plain:
                self.fs.rm(plain)
        for path in paths:
            if has_magic(path):
                with suppress(FileNotFoundError), store_errors():
                    self.fs.rm_file(path)


def file_version(entry: dict[str, Any]) -> str:
    """What a listing entry says that changes with the content: ETag or modification time."""
    for key in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified"):
        if entry.get(key) is not None:
            return str(entry[key]).strip('"')
    return ""
