"""Byte ranges of files in a store: through fsspec, and for S3 through Arrow's own client.

Which of the two reads from S3 is decided by `arrow_reads` and nothing else. Arrow's client is C++
and holds the interpreter's lock for none of its work: against a server on the same machine a read
of 512 bytes costs 0.3 ms of CPU where s3fs takes 1.0, an object of 110 kB 0.4 ms where it takes
1.9, and 16 threads get four times as many objects in a second. Large ranges differ by little.
Endpoint, region and credentials are those that s3fs has found, so both reach the same bucket as
the same user; credentials of a role are asked for again before they end.
"""

from __future__ import annotations

import errno
import os
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
from fsspec.asyn import sync

from vggbatch.bounded import (
    RefusedError,
    TooSlowError,
    http_status,
    is_web,
    read_web,
    starts_past_the_end,
)
from vggbatch.storage.filesystem import filesystem

Result = TypeVar("Result")
Bytes = bytes | bytearray
"""What a client has put them into: a copy would take a tenth of the time of a request."""

_TRIES = 8
_TRIES_TO_REACH = 3
"""For a web server that takes no connection: lists of the web's images name many that are gone."""
_NO_WAY = frozenset({"ClientConnectorError", "ClientConnectorDNSError", "ConnectError"})
"""What aiohttp and httpx raise then."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 20.0
"""Seconds; a store may refuse for about 40 in all before the job gives up."""
_NET = frozenset(
    [
        "aiohttp",
        "aiobotocore",
        "asyncio",
        "azure",
        "botocore",
        "gcsfs",
        "google",
        "httpcore",
        "httpx",
        "httpx2",
        "huggingface_hub",
    ]
)
"""Packages whose own exceptions stand for a failed request."""

_SENSELESS = frozenset({"ParamValidationError", "InvalidURL", "InvalidUrlClientError"})
"""Clients' words for a name or an address that no server could have: botocore's, aiohttp's."""

_LATER = frozenset({401, 408, 421, 423, 425, 429})
"""HTTP statuses below 500 that mean: ask again, with credentials that have run out renewed."""

_ARROW_STATUS = re.compile(r"\(HTTP status (\d{3})\)")
"""How Arrow says which status an answer of S3 had."""

_CONNECT_SECONDS = 10
_FRESH_SECONDS = 60.0
"""So long credentials are used before they are asked for again; a role's last 15 minutes more."""
_CONNECTIONS = 64
"""To a bucket at a time, of one process. Arrow's client opens 25, or as many as its threads for
input and output: 640 reads from a server that takes 50 ms for each took 2.4 s, and so 0.9 s."""
_OPEN_FILES = 64
"""Objects whose size is remembered, so that the next read of one is a single request."""


class StoreError(OSError):
    """A store that does not answer, after all retries."""


class UnreachableError(OSError):
    """A web server that takes no connection, or whose name is not known."""


class Store(Protocol):
    """Reads files of one filesystem or bucket."""

    def read(self, path: str, start: int, end: int) -> Bytes:
        """The bytes from `start` to `end`, fewer where the file ends. One try.

        Raises:
            FileNotFoundError, PermissionError: the store's answer.
            OSError: no answer, or a refusal.
        """

    def size(self, path: str) -> int | None:
        """How many bytes a file has; None where the store does not say. Raises as `read` does."""


def store_of(uri: str) -> tuple[Store, str]:
    """What reads a URI that is not local, and the path there. Raises UsageError."""
    fs, path = filesystem(uri)
    bucket = path.partition("/")[0]
    with _lock:
        # Arrow takes a key for a path, and refuses a//b
        plain = all(path.split("/"))
        key = (id(fs), bucket if plain else "")
        if key not in _stores:
            _stores[key] = _store(fs, bucket, plain)
        return _stores[key], path


def _store(fs: fsspec.AbstractFileSystem, bucket: str, plain: bool) -> Store:
    if plain and arrow_reads(fs, bucket):
        return _ArrowS3(fs, bucket)
    return _Web(fs) if is_web(fs) else _Fsspec(fs)


def arrow_reads(fs: fsspec.AbstractFileSystem, bucket: str) -> bool:
    """Whether Arrow's client reads a bucket: on S3, unless the connection needs s3fs.

    That is: behind a proxy, with a CA bundle of one's own (AWS_CA_BUNDLE), for access points (an
    ARN for a bucket), and where fsspec's configuration sets more than endpoint, region, profile,
    key or anonymous access; so FSSPEC_S3_CONFIG_KWARGS='{"connect_timeout": 9}' means s3fs, too.
    """
    if "s3" not in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
        return False
    special = set(fs.client_kwargs) - {"endpoint_url", "region_name"}
    if special or fs.config_kwargs or fs.req_kw or fs.s3_additional_kwargs or ":" in bucket:
        return False
    from botocore.utils import get_environ_proxies

    endpoint = fs.connect().meta.endpoint_url
    own_bundle = endpoint.startswith("https:") and os.environ.get("AWS_CA_BUNDLE")
    return not (own_bundle or get_environ_proxies(endpoint))


def retried(call: Callable[[], Result]) -> Result:
    """The result of a request, asked again with growing pauses while the store refuses or cuts.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError: at once.
        TooSlowError: at once; to ask again would take as long again.
        StoreError: every try failed.
    """
    for attempt in range(_TRIES):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
            raise
        except TooSlowError:
            raise
        except Exception as error:
            if isinstance(error, ValueError) or type(error).__name__ in _SENSELESS:
                raise PermissionError(errno.EINVAL, " ".join(str(error).split())) from error
            # Clients raise what their transport raises; anything else is a fault of the program.
            if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _NET:
                raise
            last = error
        if isinstance(last, UnreachableError) and attempt + 1 >= _TRIES_TO_REACH:
            break
        # Half of the pause is by chance, so that workers do not come back all at once.
        pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
        time.sleep(random.uniform(pause / 2, pause))
    raise StoreError(f"the store does not answer after {attempt + 1} tries: {last}") from last


_stores: dict[tuple[int, str], Store] = {}
_lock = threading.Lock()


class _Fsspec:
    """Any filesystem of fsspec."""

    def __init__(self, fs: fsspec.AbstractFileSystem) -> None:
        self.fs = fs

    def read(self, path: str, start: int, end: int) -> bytes:
        try:
            data: bytes = self.fs.cat_file(path, start=start, end=end)
        except Exception as error:
            if starts_past_the_end(error):
                return b""
            raise _answer(error) from error
        # a server that knows no ranges sends the whole file
        return data if len(data) <= end - start else data[start:end]

    def size(self, path: str) -> int | None:
        try:
            size: int | None = self.fs.info(path).get("size")
        except Exception as error:
            raise _answer(error) from error
        return size


class _Web:
    """Web servers, whose answers are cut where the range ends (see bounded.py)."""

    def __init__(self, fs: fsspec.AbstractFileSystem) -> None:
        self.fs = fs

    def read(self, path: str, start: int, end: int) -> bytes:
        try:
            return read_web(self.fs, path, start, end)
        except (RefusedError, TooSlowError):
            raise
        except Exception as error:
            if starts_past_the_end(error):
                return b""
            if type(error).__name__ in _NO_WAY:
                raise UnreachableError(" ".join(str(error).split())) from error
            raise _answer(error) from error

    def size(self, path: str) -> int | None:
        return None  # its client compares what comes with the length that was announced


def _answer(error: Exception) -> Exception:
    """A server's refusal that asking again will not change, as such; others as they are."""
    status = http_status(error)
    if status is None or not 400 <= status < 500 or status in _LATER:
        return error
    if status in (404, 410):
        return FileNotFoundError(errno.ENOENT, str(error))
    return PermissionError(errno.EACCES, f"HTTP status {status}: {' '.join(str(error).split())}")


def no_answer(error: Exception) -> bool:
    """Whether a failed request leaves open that there is a store at all.

    A busy store (429, 503) is there, and so is one that refuses.
    """
    answers = (FileNotFoundError, PermissionError, IsADirectoryError, ValueError)
    if isinstance(error, answers) or type(error).__name__ in _SENSELESS:
        return False
    status = http_status(error)
    found = _ARROW_STATUS.search(str(error))
    if status is None and found:
        status = int(found[1])
    return status is None or status == 400


class _ArrowS3:
    """One S3 bucket, by Arrow's client, connected as s3fs is."""

    def __init__(self, fs: fsspec.AbstractFileSystem, bucket: str) -> None:
        self.fs = fs
        self.bucket = bucket
        self._lock = threading.Lock()
        self._client: Any = None
        self._credentials: Any = None
        self._asked = 0.0
        self._files: OrderedDict[str, Any] = OrderedDict()

    def read(self, path: str, start: int, end: int) -> Bytes:
        try:
            file = self._open(path)
            end = min(end, file.size())
            if start >= end:
                return b""
            data = _whole_answer(file, start, end - start)
        except OSError as error:
            self._forget(path)
            raise _meaning(error) from error
        if not data:
            self._forget(path)
        return data

    def size(self, path: str) -> int | None:
        try:
            return int(self._open(path).size())
        except OSError as error:
            self._forget(path)
            raise _meaning(error) from error

    def _forget(self, path: str) -> None:
        with self._lock:
            self._files.pop(path, None)

    def _open(self, path: str) -> Any:
        with self._lock:
            self._connect()
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
            client = self._client
        file = client.open_input_file(path)
        with self._lock:
            self._files[path] = file
            while len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)
        return file

    def _connect(self) -> None:
        """Make the client, and another one when the credentials have changed."""
        now = time.monotonic()
        if self._client is not None and now - self._asked < _FRESH_SECONDS:
            return
        credentials = _credentials(self.fs)
        self._asked = now
        if self._client is None or credentials != self._credentials:
            self._client = _client(self.fs, self.bucket, credentials)
            self._credentials = credentials
            self._files.clear()


def _whole_answer(file: Any, start: int, size: int) -> Bytes:
    """So many bytes of an open object, or none where fewer came.

    Arrow does not look at how many bytes an answer has: what it lacks is left in the caller's
    memory as it was. So the last byte is set beforehand, and where it is still the same the range
    is read once more with another mark: one read in 256 that was whole.
    """
    for mark in (0xA5, 0x5A):
        buffer = bytearray(size)
        buffer[-1] = mark
        file.get_stream(start, size).readinto(buffer)
        if buffer[-1] != mark:
            return buffer
    return b""


def _credentials(fs: fsspec.AbstractFileSystem) -> tuple[str | None, str | None, str | None]:
    """Key, secret and token that s3fs uses; three times None for anonymous access."""
    if fs.anon:
        return None, None, None
    if fs.key and fs.secret:
        return fs.key, fs.secret, fs.token

    async def ask() -> Any:
        await fs.set_session()
        found = await fs.session.get_credentials()
        return None if found is None else await found.get_frozen_credentials()

    found = sync(fs.loop, ask)
    return (found.access_key, found.secret_key, found.token) if found else (None, None, None)


def _client(
    fs: fsspec.AbstractFileSystem,
    bucket: str,
    credentials: tuple[str | None, str | None, str | None],
) -> Any:
    from pyarrow.fs import S3FileSystem, resolve_s3_region

    pa.set_io_thread_count(max(pa.io_thread_count(), _CONNECTIONS))
    meta = fs.connect().meta
    options: dict[str, Any] = {"region": meta.region_name or None}
    endpoint = urlsplit(meta.endpoint_url)
    if (endpoint.hostname or "").endswith(".amazonaws.com"):
        # without a way to the global endpoint: the region that is configured
        with suppress(pa.ArrowException, OSError):
            options["region"] = resolve_s3_region(bucket)
    else:
        options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    key, secret, token = credentials
    if key is None:
        options["anonymous"] = True
    else:
        options |= {"access_key": key, "secret_key": secret, "session_token": token}
    return S3FileSystem(connect_timeout=_CONNECT_SECONDS, **options)


def _meaning(error: OSError) -> OSError:
    """Arrow says in words what s3fs says with an exception's type."""
    text = str(error)
    if any(sign in text for sign in ("NO_SUCH_KEY", "NO_SUCH_BUCKET", "RESOURCE_NOT_FOUND")):
        return FileNotFoundError(errno.ENOENT, text)
    if any(sign in text for sign in ("ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACC")):
        return PermissionError(errno.EACCES, text)
    return error
