"""Get a zoo file from a list of mirrors: resumed after a cut, used only if its SHA-256 is right."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models import hub
from vggbatch.models.cache import BLOCK, open_cache, sha256_of, weights_path
from vggbatch.models.catalog import CatalogEntry, ZooFile
from vggbatch.models.durable import move_into_place
from vggbatch.models.verified import is_intact
from vggbatch.storage.filesystem import filesystem, join, store_errors

PUBLIC_MIRRORS = (
    "https://media.githubusercontent.com/media/onnx/models/main/validated/vision/classification"
    "/vgg/model/{file}",
)
"""Asked after the Hub (hub.py): the zoo's GitHub LFS store, closed since July 2025."""

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""Without a byte; then the connection counts as cut."""
ATTEMPTS = 5
"""In a row without a new byte, before the next mirror is tried."""
BACKOFF_SECONDS = 1.0
FIRST_SECONDS = 300.0
_SLOWEST = 2**15
"""Bytes a second: below that on average, after `FIRST_SECONDS`, a mirror is left. Every zoo file
ends within five hours, or the next mirror is tried."""
_HTTP_BLOCK = 2**16

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be."""


class _MirrorFailed(Exception):
    """This mirror does not give the file; the next may."""


class _Cut(Exception):
    """The connection broke; what came stays."""


class _NoConnection(_Cut):
    """There was none."""


def pull(
    entry: CatalogEntry,
    *,
    test_data: bool = False,
    mirrors: Sequence[str] = (),
    cache_dir: str | None = None,
    attempts: int = ATTEMPTS,
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return a zoo file in the cache, getting it first if it is not there, whole.

    Safe to call from many processes at once: one downloads, the others wait for it. What a killed
    or failed download left is continued by the next, from any mirror.

    Args:
        entry: which model.
        test_data: its .tar.gz with test vectors instead of the weights.
        mirrors: folders or URIs that have the file, tried before the public ones; `{name}` and
            `{file}` in one are filled in.
        cache_dir: None: as `cache_folder` says.
        attempts: tries in a row without a new byte at each mirror.
        offline: ask no public mirror, as where HF_HUB_OFFLINE is set.
        progress: called with every block.

    Raises:
        UsageError: not enough disk space, or somebody else could replace what is in the cache.
        VggbatchError: no mirror gives the file; says why, mirror by mirror.
    """
    wanted = entry.test_data if test_data else entry.weights
    open_cache(cache_dir)
    target = weights_path(cache_dir, wanted.sha256, wanted.file)
    if is_intact(target, wanted.sha256, wanted.bytes):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not is_intact(target, wanted.sha256, wanted.bytes):
            target.unlink(missing_ok=True)
            addresses = [address(mirror, entry.name, wanted.file) for mirror in mirrors]
            offline = offline or hub.is_offline()
            addresses += hub.addresses(entry.name, wanted.file, offline=offline)
            if not offline:
                addresses += [m.format(name=entry.name, file=wanted.file) for m in PUBLIC_MIRRORS]
            report = progress or (lambda done, total: None)
            _from_any(addresses, wanted, target, attempts, report, offline=offline)
    return target


def address(mirror: str, name: str, file: str) -> str:
    """Where a mirror has a file of a model."""
    if "{file}" in mirror:
        return mirror.replace("{name}", name).replace("{file}", file)
    return join(mirror, file)


def _from_any(
    addresses: Sequence[str],
    wanted: ZooFile,
    target: Path,
    attempts: int,
    progress: Progress,
    *,
    offline: bool,
) -> None:
    partial = target.with_name(f"{target.name}.partial")
    there = partial.stat().st_size if partial.exists() else 0
    free = shutil.disk_usage(target.parent).free
    if free < wanted.bytes - there:
        raise UsageError(
            f"{wanted.file} needs {wanted.bytes / 1e6:.0f} MB in {target.parent}, which has "
            f"{free / 1e6:.0f} MB left; --cache-dir takes another folder"
        )
    failures = []
    for address in addresses:
        try:
            _from_one(address, wanted, partial, attempts, progress)
            move_into_place(partial, target)
            return
        except _MirrorFailed as failure:
            failures.append(f"{address}: {failure}")
    if offline:
        why = "HF_HUB_OFFLINE is set" if hub.is_offline() else "--offline was given"
        failures.append(f"nothing is downloaded, for {why}")
    raise VggbatchError(
        f"no mirror gives {wanted.file}: {'; '.join(failures)}. Another folder or URI that has it: "
        "--mirror or $VGGBATCH_MIRRORS"
    )


def _from_one(
    address: str, wanted: ZooFile, partial: Path, attempts: int, progress: Progress
) -> None:
    """Complete and verify the partial file, or raise `_MirrorFailed`."""
    resumed = partial.exists() and partial.stat().st_size > 0
    _complete(address, wanted, partial, attempts, progress)
    if sha256_of(partial) == wanted.sha256:
        return
    partial.unlink()
    if resumed:
        # The bytes that were there already may be the wrong ones: once more from the start.
        _complete(address, wanted, partial, attempts, progress)
        if sha256_of(partial) == wanted.sha256:
            return
        partial.unlink()
    raise _MirrorFailed("its SHA-256 is not the zoo's")


def _complete(
    address: str, wanted: ZooFile, partial: Path, attempts: int, progress: Progress
) -> None:
    fruitless, met, total = 0, False, 0
    begun = time.monotonic()

    def count(size: int) -> None:
        nonlocal total
        total += size
        seconds = time.monotonic() - begun
        if seconds > FIRST_SECONDS + total / _SLOWEST:
            raise _MirrorFailed(f"gives only {total} bytes in {seconds:.0f} s")

    while (have := partial.stat().st_size if partial.exists() else 0) != wanted.bytes:
        if have > wanted.bytes:
            partial.unlink()
            continue
        try:
            with _opened(address, have, wanted.bytes) as (start, blocks):
                _append(_counted(blocks, count), partial, start, wanted.bytes, progress)
        except _Cut as cut:
            came = (partial.stat().st_size if partial.exists() else 0) > have
            met, fruitless = met or came, 0 if came else fruitless + 1
            # Offline is reported at once; a server that was there before is waited for.
            if fruitless >= attempts or (isinstance(cut, _NoConnection) and not met):
                raise _MirrorFailed(str(cut)) from None
            count(0)
            time.sleep(BACKOFF_SECONDS * 2**fruitless if fruitless else 0)


def _counted(blocks: Iterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        count(len(block))
        yield block


def _append(
    blocks: Iterator[bytes], partial: Path, start: int, total: int, progress: Progress
) -> None:
    with partial.open("r+b" if partial.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        done = start
        for block in blocks:
            done += len(block)
            if done > total:
                raise _MirrorFailed(f"sends more than {total} bytes")
            file.write(block)
            progress(done, total)
    if done < total:
        raise _Cut(f"ended after {done} of {total} bytes")


@contextmanager
def _opened(address: str, offset: int, total: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Where the file begins to come from, `offset` or 0, and its blocks."""
    if address.startswith(("http://", "https://")):
        with _opened_http(address, offset, total) as opened:
            yield opened
        return
    fs, path = filesystem(address)
    try:
        with store_errors():
            size = fs.info(path)["size"]
        if size != total:
            raise _MirrorFailed(f"is {size} bytes, not {total}")
        with store_errors():
            file = fs.open(path, "rb")
        with file:
            file.seek(offset)
            yield offset, _blocks(file)
    except (FileNotFoundError, NotADirectoryError):
        raise _MirrorFailed("not there") from None
    except OSError as error:
        raise _Cut(str(error)) from None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with store_errors():
        while block := file.read(BLOCK):
            yield block


@contextmanager
def _opened_http(address: str, offset: int, total: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    # here, for most commands get no file, and the two take a fifth of a short one's start
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    # identity: a compressed transfer has another length, and cannot be resumed
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    try:
        with requests.get(address, headers=headers, stream=True, timeout=timeout) as response:
            status = response.status_code
            if status == 429 or status >= 500:
                raise _Cut(f"status {status}")
            if status not in (200, 206):
                raise _MirrorFailed(f"status {status}")
            start = offset if status == 206 else 0
            length = response.headers.get("Content-Length")
            if length is not None and start + int(length) != total:
                raise _MirrorFailed(f"is {start + int(length)} bytes, not {total}")
            # read1: what is there, where iter_content waits until a block is full
            yield start, iter(lambda: response.raw.read1(_HTTP_BLOCK), b"")
    except requests.ReadTimeout:
        raise _Cut(f"nothing came for {READ_SECONDS:.0f} s") from None
    except requests.ConnectionError as error:
        if "Read timed out" in str(error):
            raise _Cut(f"nothing came for {READ_SECONDS:.0f} s") from None
        raise _NoConnection("no connection") from None
    except ReadTimeoutError:
        raise _Cut(f"nothing came for {READ_SECONDS:.0f} s") from None
    except (requests.RequestException, HTTPError) as error:
        raise _Cut(f"the connection broke ({type(error).__name__})") from None
