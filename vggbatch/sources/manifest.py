"""Manifests and list files: text, CSV or Parquet that names images or shards by path or URI."""

from __future__ import annotations

from collections.abc import Iterator

from vggbatch import uris
from vggbatch.bounded import read_bounded
from vggbatch.errors import ImageError, UsageError
from vggbatch.sources import columns, names
from vggbatch.sources.base import Member
from vggbatch.storage import NoClient, filesystem, public_uri, store_errors
from vggbatch.text import without_secrets

_MAX_BYTES = 2**30
"""Of a manifest: ten million lines."""


def read_manifest(uri: str) -> Iterator[Member]:
    """The files that a manifest names, with their labels if it has them.

    A relative path is relative to the manifest's own folder. Sizes are unknown. What may not be
    opened is a member with an error: see uris.py.

    Raises:
        UsageError: the manifest cannot be read or understood, or nothing that it names can be
            opened, for want of a package.
    """
    fs, path = filesystem(uri)
    folder = uris.folder_of(uri)
    try:
        with store_errors():
            data = read_bounded(fs, path, _MAX_BYTES)
        table = columns.read(data, uri)
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise UsageError(f"{uri}: cannot be read: {reason}") from None
    except ValueError as error:
        raise UsageError(f"{uri}: {error}") from None
    files = table.column(columns.FILE)
    if files is None:
        raise UsageError(f"{uri}: no column names the images; one of {', '.join(columns.FILE)}")
    labels = table.column(columns.SYNSET) or table.column(columns.INDEX) or [""] * len(files)
    clients = _Clients()
    usable = False
    for file, label in zip(files, labels, strict=True):
        if file:
            member = _entry(uri, folder, file, label, clients)
            usable |= member.error is None
            yield member
    if clients.lacking and not usable:
        raise clients.lacking


class _Clients:
    """The stores that a manifest names: each is tried once."""

    def __init__(self) -> None:
        self._tried: dict[str, NoClient | None] = {}
        self.lacking: NoClient | None = None

    def check(self, uri: str) -> None:
        """Raises NoClient."""
        if uris.is_local(uri):
            return
        name = uris.protocol(uri) or ""
        store = name if name in uris.WEB else "/".join(uri.split("/", 3)[:3])
        if store not in self._tried:
            try:
                self._tried[store] = None
                filesystem(uri)
            except NoClient as error:
                self._tried[store] = self.lacking = error
        lacking = self._tried[store]
        if lacking is not None:
            raise lacking


def _entry(manifest: str, folder: str, file: str, label: str, clients: _Clients) -> Member:
    try:
        source = uris.named_by(manifest, file)
        source.encode()
        clients.check(source)
    except (uris.Refused, NoClient, UnicodeEncodeError) as error:
        wrong = ImageError("unreadable", str(error))
        if isinstance(error, UnicodeEncodeError):
            wrong = ImageError("unreadable", "the file's name is not valid UTF-8")
        elif isinstance(error, uris.Refused):
            wrong = ImageError("refused", str(error))
        name = without_secrets(public_uri(file)).encode("utf-8", "replace").decode()
        return Member(name, 0, 0, label or None, name, str(wrong))
    name = public_uri(source).removeprefix(folder)
    return Member(name, 0, -1, label or names.wnid_of_folder(name), source)
