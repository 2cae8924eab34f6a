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
from vggbatch.storage import contact
from vggbatch.storage.filesystem import filesystem, public_uri, store_errors
from vggbatch.text import of_path, without_secrets

SUFFIXES = list_file.SUFFIXES | {"csv", "tsv", "json", "jsonl", "ndjson"}
"""How the names of manifests end, Parquet apart."""
UNREACHED = f"{ImageError('store', '')}"
"""How the errors of what is in a store begin that cannot be reached."""
_MAX_BYTES = 2**30
"""Of a manifest: ten million lines."""
_LONGEST_SHOWN = 80
"""Characters of a cell in a message: it may be a whole image in base64."""


def read_manifest(uri: str, reading: Reading | None = None) -> Iterator[Member]:
    """The files that a manifest names, with their labels if it has them.

    A relative path is relative to the manifest's own folder. Sizes are unknown. What may not be
    opened is a member with an error (see uris.py), and so is what is in a store that cannot be
    reached (see contact.py).

    Args:
        uri: the manifest.
        reading: may name its columns.

    Raises:
        UsageError: the manifest cannot be read or understood.
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
    folder = uris.folder_of(uri)
    contact.begin(file for file in files if "://" in file)
    for name, token in zip(files, labels, strict=True):
        if name:
            yield _entry(uri, folder, name, token)


def _exists(manifest: str, file: str) -> bool:
    """Whether there is a file that a manifest names so; False where the store does not say."""
    try:
        uri = uris.named_by(manifest, file)
        if contact.why_unreachable(uri) is not None:
            return False
        fs, path = filesystem(uri)
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
    """Whether it is a file of this machine or of a store, be it one that cannot be reached now."""
    web = member.source is not None and uris.protocol(member.source) in uris.WEB
    sound = member.error is None or member.error.startswith(UNREACHED)
    return member.source is not None and sound and not web


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


def _entry(manifest: str, folder: str, file: str, token: str) -> Member:
    try:
        source = uris.named_by(manifest, file)
    except uris.Refused as error:
        wrong = ImageError("refused", names.printable(str(error)))
        shown = names.printable(without_secrets(public_uri(file)))
        return Member(shown, 0, 0, token or None, shown, str(wrong))
    name = names.printable(public_uri(source).removeprefix(folder))
    label = token or names.wnid_of_folder(source)
    if "://" in source and contact.store_name(source) != contact.store_name(manifest):
        reason = contact.why_unreachable(source)
        if reason is not None:
            return Member(name, 0, -1, label, of_path(source), f"{UNREACHED}{reason}")
    return Member(name, 0, -1, label, of_path(source))
