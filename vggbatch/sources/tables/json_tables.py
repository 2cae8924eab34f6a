"""Tables as JSON and JSON Lines: a record per image, columns, or an object of labels by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any

from vggbatch import json_text
from vggbatch.sources.tables.dialect import is_file, is_label

Columns = dict[str, list[str]]


def is_json(content: str) -> bool:
    """Whether a text is JSON by how it begins."""
    return content.lstrip("\ufeff \t\r\n").startswith(("{", "["))


def parse(content: str) -> Columns:
    """Read JSON or JSON Lines as columns; values that are no text or number become "".

    Raises:
        ValueError: it is not well-formed, or no table.
    """
    try:
        value = json_text.parse(content, _distinct)
    except JSONDecodeError:
        return _from_records([_record(line, i) for i, line in enumerate(content.split("\n"), 1)])
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return _from_pairs(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return {"file": value}
    if isinstance(value, list):
        return _from_records(value)
    if not isinstance(value, dict):
        raise ValueError("the JSON is no table: a list of records, or an object of labels by file")
    if {"images", "annotations"} <= value.keys():
        raise ValueError("COCO's JSON has boxes, not a class per image: write a CSV of file,label")
    if isinstance(pairs := value.get("labels"), list) and all(isinstance(p, list) for p in pairs):
        return _from_pairs(pairs)
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _from_split(value["columns"], value["data"])
    if value and all(isinstance(item, list) for item in value.values()):
        return _from_lists(value)
    if value and all(isinstance(item, dict) for item in value.values()):
        return _from_objects(value)
    texts = [item for item in value.values() if isinstance(item, str)]
    nested = any(isinstance(item, dict | list) for item in value.values())
    # a single record of JSON Lines is an object too
    if nested or (any(map(is_file, texts)) and not any(map(is_file, value))):
        return _from_records([value])
    return {"file": list(value), "label": [_cell(item) for item in value.values()]}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, refused where a key comes twice with two values: the last would count alone."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise ValueError(f"{key!r} is there twice, as {found[key]!r} and {value!r}")
    return found


def _record(line: str, number: int) -> Any:
    if not line.strip():
        return {}
    try:
        return json_text.parse(line, _distinct)
    except JSONDecodeError as error:
        raise ValueError(f"line {number} is not valid JSON: {error}") from None


def _from_records(records: Sequence[Any]) -> Columns:
    kept = [record for record in records if record != {}]
    if not kept:
        raise ValueError("the file has no records")
    if not all(isinstance(record, dict) for record in kept):
        raise ValueError("the JSON is no table: each record must be an object")
    columns = list(dict.fromkeys(name for record in kept for name in record))
    return {name: [_cell(record.get(name)) for record in kept] for name in columns}


def _from_pairs(pairs: Sequence[Any]) -> Columns:
    """What StyleGAN's dataset.json holds: `["00000/img00000.png", 3]`."""
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("the JSON is no table: its lists are no pairs of a file and a label")
    return {"file": [_cell(pair[0]) for pair in pairs], "label": [_cell(pair[1]) for pair in pairs]}


def _from_lists(lists: Mapping[str, list[Any]]) -> Columns:
    """Columns by name, the files of each class, or one list of pairs or records under a name."""
    only = next(iter(lists.values()))
    if len(lists) == 1 and only and all(isinstance(item, dict) for item in only):
        return _from_records(only)
    cells = [(label, _cell(file)) for label, files in lists.items() for file in files]
    by_class = all(map(is_label, lists)) or len(set(map(len, lists.values()))) > 1
    if by_class and cells and all(is_file(file) for _, file in cells):
        return {"file": [file for _, file in cells], "label": [label for label, _ in cells]}
    return _from_columns(lists)


def _from_split(names: list[Any], rows: list[Any]) -> Columns:
    """What pandas writes with orient="split"."""
    if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        raise ValueError("the JSON is no table: its rows are not as wide as its columns")
    return _from_records([dict(zip(map(_cell, names), row, strict=True)) for row in rows])


def _from_objects(objects: Mapping[str, dict[str, Any]]) -> Columns:
    """Columns by row number, as pandas writes them, or a record for each row number or file."""
    if all(key.isdigit() for item in objects.values() for key in item):
        return _from_columns({name: list(cells.values()) for name, cells in objects.items()})
    if all(key.isdigit() for key in objects):
        return _from_records(list(objects.values()))
    return _from_records([{"file": file, **record} for file, record in objects.items()])


def _from_columns(columns: Mapping[str, list[Any]]) -> Columns:
    if len(set(map(len, columns.values()))) != 1:
        raise ValueError("the JSON is no table: its columns differ in length")
    return {name: [_cell(value) for value in cells] for name, cells in columns.items()}


def _cell(value: Any) -> str:
    """A value as text; true, false, lists and objects are neither files nor labels."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)
