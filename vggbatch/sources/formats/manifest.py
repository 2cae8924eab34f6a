"""Manifests and list files: tables, JSON or lines that name images or shards by path or URI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from vggbatch import uris
from vggbatch.bounded import read_bounded
from vggbatch.errors import ImageError, UsageError
from vggbatch.sources import names
from vggbatch.sources.base import Member
from vggbatch.sources.formats import list_file
from vggbatch.sources.tables import columns, dialect
from vggbatch.sources.tables.columns import Reading
from vggbatch.storage.filesystem import NoClient, filesystem, public_uri, store_errors
from vggbatch.text import of_path, without_secrets

SUFFIXES = list_file.SUFFIXES | {"csv", "tsv", "json", "jsonl", "ndjson"}
"""How the names of manifests end, Parquet apart."""
_MAX_BYTES = 2**30
"""Of a manifest: ten million lines."""
_LONGEST_SHOWN = 80
"""Characters of a cell in a message: it may be a whole image in base64."""


def read_manifest(uri: str, reading: Reading | None = None) -> Iterator[Member]:
    """The files that a manifest names, with their labels if it has them.

    A relative path is relative to the manifest's own folder. Sizes are unknown. What may not be
    opened is a member with an error: see uris.py.

    Args:
        uri: the manifest.
        reading: may name its columns.

    Raises:
        UsageError: the manifest cannot be read or understood, or nothing that it names can be
            opened, for want of a package.
    """
    reading = reading or Reading()
    fs, path = filesystem(uri)
    is_list = names.suffix(names.without_query(uri)) in list_file.SUFFIXES

    def exists(file: str) -> bool:
        return _exists(uri, file)

    try:
        with store_errors():
            data = read_bounded(fs, path, _MAX_BYTES)
        if is_list and not reading.columns.file:
            table = list_file.read(data, exists)
        else:
            table = columns.read(data, names.without_query(uri))
        file = columns.file_column(table, reading.columns, exists)
        label = columns.label_column(table, file, reading)
        files = table.columns[file]
        if not is_list and not reading.columns.file:
            _check_named(file, files, exists)
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise UsageError(f"{public_uri(uri)}: cannot be read: {reason}") from None
    except ValueError as error:
        raise UsageError(f"{public_uri(uri)}: {error}") from None
    if table.named and exists(file):
        raise UsageError(
            f"{public_uri(uri)}: the first line is read as names of columns, but there is a file "
            f"{file!r}: put a line of column names above it"
        )
    windows = next((name for name in files if "\\" in name), None)
    if windows is not None and not exists(windows):
        files = [name.replace("\\", "/") for name in files]
    labels = [""] * len(files) if label is None else table.columns[label]
    clients = _Clients()
    folder = uris.folder_of(uri)
    usable = False
    for name, token in zip(files, labels, strict=True):
        if name:
            member = _entry(uri, folder, name, token, clients)
            usable |= member.error is None
            yield member
    if clients.lacking and not usable:
        raise clients.lacking


def _exists(manifest: str, file: str) -> bool:
    """Whether there is a file that a manifest names so; False where the store does not say."""
    try:
        fs, path = filesystem(uris.named_by(manifest, file))
        with store_errors():
            return bool(fs.isfile(path))
    except (OSError, ValueError, UsageError):
        return False


def _check_named(column: str, files: Sequence[str], exists: columns.Exists) -> None:
    """Make sure that a column chosen by its name alone names files at all."""
    some = [file for file in dialect.sampled(files) if file][:4]
    if not (dialect.mostly(files, dialect.is_file) or any(map(exists, some))):
        shown = some[0] if len(some[0]) <= _LONGEST_SHOWN else f"{some[0][:_LONGEST_SHOWN]}..."
        raise ValueError(
            f"column {column!r} names no images, as there is no file {shown!r}: "
            "name the column of paths with columns.file"
        )


def below_common_folder(members: Sequence[Member]) -> list[Member]:
    """Files that were named one by one, with names as if the folder of all of them was named.

    So an image has the same name whether its folder, a glob or a list was the input. Addresses on
    the web and what cannot be opened keep their names.
    """
    found = [member for member in members if _is_file(member)]
    root = common_folder([public_uri(member.source or "") for member in found])
    return [
        replace(member, name=names.printable(public_uri(member.source or "").removeprefix(root)))
        if _is_file(member)
        else member
        for member in members
    ]


def _is_file(member: Member) -> bool:
    """Whether it is a file of this machine or of a store."""
    web = member.source is not None and uris.protocol(member.source) in uris.WEB
    return member.source is not None and member.error is None and not web


def common_folder(files: Iterable[str]) -> str:
    """The deepest folder that all paths or URIs are in, with a slash behind it; "" if none is."""
    root: str | None = None
    for file in files:
        if root is None:
            root = uris.folder_of(file)
        while root and not file.startswith(root):
            above = root.rstrip("/").rpartition("/")[0]
            root = f"{above}/" if above and not above.endswith(":/") else ""
    return root or ""


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
        clients.check(source)
    except (uris.Refused, NoClient) as error:
        kind = "refused" if isinstance(error, uris.Refused) else "unreadable"
        wrong = ImageError(kind, names.printable(str(error)))
        name = names.printable(without_secrets(public_uri(file)))
        return Member(name, 0, 0, label or None, name, str(wrong))
    name = names.printable(public_uri(source).removeprefix(folder))
    return Member(name, 0, -1, label or names.wnid_of_folder(source), of_path(source))
