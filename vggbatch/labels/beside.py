"""The class list that a data set keeps beside its shards: what its label indices count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vggbatch import class_list, json_text
from vggbatch.bounded import MAX_CLASS_LIST, read_bounded
from vggbatch.config.yaml_text import parse_yaml
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.sources.classes import identified
from vggbatch.sources.tables.dialect import is_file
from vggbatch.storage.filesystem import filesystem, public_uri, store_errors

_LISTS = (
    *("label.labels.txt", "labels.txt", "classnames.txt", "classes.txt"),
    *("../classnames.txt", "../classes.txt"),
)
"""TensorFlow Datasets', TF-Slim's, and those of WebDatasets, with a folder for each split."""
_FACTS = ("dataset_info.json", "README.md", "../README.md")
"""Hugging Face's; its shards are in a folder below that of the README."""
_MOST_FOLDERS = 8
"""Folders of shards that are looked at."""


def classes_beside(shards: Iterable[str]) -> tuple[str, tuple[str, ...]] | None:
    """The class list in the folders of shards, with WordNet ids where the names are ImageNet's.

    Returns:
        Where it is, and the classes in the order of the indices; None if there is no list.

    Raises:
        UsageError: two lists differ.
    """
    found: tuple[str, tuple[str, ...]] | None = None
    folders = sorted({uri.rpartition("/")[0] for uri in shards})[:_MOST_FOLDERS]
    for uri, names in (pair for folder in folders for pair in _lists(folder)):
        if found is not None and found[1] != identified(names):
            raise UsageError(
                f"{public_uri(found[0])} and {public_uri(uri)} list different classes: name the "
                "one that the labels count with indices.names"
            )
        found = found or (uri, identified(names))
    return found


def _lists(folder: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The first list of a folder; several, if one file has them for several columns."""
    for name in (*_LISTS, *_FACTS):
        base = folder.rpartition("/")[0] if name.startswith("../") else folder
        uri = f"{base}/{name.removeprefix('../')}"
        data = _content(uri)
        lists = [] if data is None else list(_of_list(data) if name in _LISTS else _of_facts(data))
        yield from ((uri, names) for names in lists)
        if lists:
            return


def _content(uri: str) -> bytes | None:
    try:
        fs, path = filesystem(uri)
        with store_errors():
            return read_bounded(fs, path, MAX_CLASS_LIST)
    except (OSError, VggbatchError):
        return None


def _of_list(data: bytes) -> Iterator[tuple[str, ...]]:
    try:
        names = class_list.parse(data)
    except ValueError:
        return
    # a labels.txt of images is another thing
    if len(names) > 1 and not any(is_file(word) for name in names for word in name.split()):
        yield names


def _of_facts(data: bytes) -> Iterator[tuple[str, ...]]:
    """The lists of dataset_info.json, or of the YAML at the head of a README.md."""
    try:
        text = data.decode()
        if text.startswith("---"):
            facts = parse_yaml(text.split("---", 2)[1]) or {}
        else:
            facts = json_text.parse(text)
        found = list(_class_labels(facts))
    except (ValueError, RecursionError):
        return
    seen = set()
    for names in found:
        if names not in seen:
            seen.add(names)
            yield names


def _class_labels(facts: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(facts, list):
        for item in facts:
            yield from _class_labels(item)
    if not isinstance(facts, dict):
        return
    for key, value in facts.items():
        named = value.get("names") if isinstance(value, dict) else None
        if named and (key == "class_label" or value.get("_type") == "ClassLabel"):
            yield tuple(map(str, named.values() if isinstance(named, dict) else named))
        else:
            yield from _class_labels(value)
