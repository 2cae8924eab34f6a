"""Manifests and list files: text, CSV or Parquet that names images or shards by path or URI."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from vggbatch.errors import UsageError
from vggbatch.sources import columns, names
from vggbatch.sources.base import Member
from vggbatch.storage import filesystem, is_local, public_uri


def read_manifest(uri: str) -> Iterator[Member]:
    """The files that a manifest names, with their labels if it has them.

    A relative path is relative to the manifest's own folder. Sizes are unknown.

    Raises:
        UsageError: the manifest cannot be read or understood.
    """
    fs, path = filesystem(uri)
    folder = posixpath.dirname(path if is_local(fs) else uri)
    try:
        table = columns.read(fs.cat_file(path), uri)
    except ValueError as error:
        raise UsageError(f"{uri}: {error}") from None
    files = table.column(columns.FILE)
    if files is None:
        raise UsageError(f"{uri}: no column names the images; one of {', '.join(columns.FILE)}")
    labels = table.column(columns.SYNSET) or table.column(columns.INDEX) or [""] * len(files)
    for file, label in zip(files, labels, strict=True):
        if file:
            yield _entry(folder, file, label)


def _entry(folder: str, file: str, label: str) -> Member:
    remote = "://" in file
    source = file if remote or file.startswith("/") else f"{folder}/{posixpath.normpath(file)}"
    name = public_uri(source).removeprefix(f"{folder}/")
    return Member(name, 0, -1, label or names.wnid_of_folder(name), source)
