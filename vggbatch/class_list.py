"""Lists of classes as people write them: a class per line, or one of the usual forms of JSON."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from vggbatch import json_text, text_file


def parse(data: bytes) -> tuple[str, ...]:
    """The classes of a list, in output order, each as one line.

    Read are a class per line, also with its index in front (`0: tench`); a JSON list; JSON objects
    that map an index to a class (`{"0": ["n01440764", "tench"]}`) or a class to its index; and a
    model's config.json with `id2label`.

    Raises:
        ValueError: it is no list of classes.
    """
    content = text_file.decode(data)
    if content.lstrip().startswith(("{", "[")):
        return tuple(_from_json(_literal(content)))
    lines = [line.strip() for line in text_file.lines(content)]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise ValueError(f"line {lines.index('') + 1} is empty")
    return tuple(_without_numbers(lines))


@cache
def imagenet() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC2012 by sorted WordNet id, `n01440764 tench, Tinca tinca`."""
    resource = files("vggbatch").joinpath("models").joinpath("synset.txt")
    return tuple(resource.read_text("utf-8").splitlines())


def _literal(content: str) -> Any:
    """JSON, or a Python literal, as imagenet1000_clsidx_to_labels.txt is one."""
    try:
        return json_text.parse(content)
    except ValueError as error:
        reason = error
    try:
        return json_text.literal(content)
    except ValueError:
        raise ValueError(f"not valid JSON: {reason}") from None


def _from_json(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = _in_order(value.get("id2label") or value.get("label2id") or value)
    if not isinstance(value, list):
        raise ValueError("the JSON is neither a list of classes nor an object of classes by index")
    return [_line(item) for item in value]


def _in_order(mapping: dict[Any, Any]) -> list[Any]:
    """The classes of an object that gives the index of each, or the class of each index."""
    if all(type(value) is int for value in mapping.values()):
        by_index = {index: name for name, index in mapping.items()}
    else:
        by_index = {int(key): name for key, name in mapping.items() if str(key).isdecimal()}
    if len(by_index) != len(mapping) or sorted(by_index) != list(range(len(mapping))):
        raise ValueError(f"the JSON object does not give each index from 0 to {len(mapping) - 1}")
    return [by_index[index] for index in range(len(mapping))]


def _line(item: Any) -> str:
    """A class as one line; Keras writes a WordNet id and a name."""
    parts = item if isinstance(item, list) else [item]
    if not parts or not all(isinstance(part, str | int) for part in parts):
        raise ValueError(f"{item!r} is no class")
    return " ".join(" ".join(str(part).split()) for part in parts)


_MANY = 20
"""Lines from which on numbers in them that are all there are no part of the names."""
_FRONT = re.compile(r"(\d{1,6})(\s*[:,\t]\s*|\s+)(?=\S)")
_END = re.compile(r"[\s:,](\d{1,6})$")


def _check_order(lines: list[str]) -> None:
    """Make sure that numbers which are indices of classes are in the order of the lines.

    Names that have numbers in them may be sorted as text, as folders are: `1 pear`, `10 plum`.

    Raises:
        ValueError: they are in another order.
    """
    front = [match for line in lines if (match := _FRONT.match(line))]
    end = [match for line in lines if (match := _END.search(line))]
    parted = len(front) == len(lines) and all(match[2].strip(" ") for match in front)
    if not parted and (len(lines) < _MANY or lines == sorted(lines)):
        return
    for where, found in (("begins", front), ("ends", end)):
        numbers = [int(match[1]) for match in found]
        counted = sorted(numbers) in (list(range(len(lines))), list(range(1, len(lines) + 1)))
        if len(lines) > 1 and counted and numbers != sorted(numbers):
            raise ValueError(
                f"each line {where} with the index of its class, and the lines are in another "
                "order: sort them by it"
            )


def _without_numbers(lines: list[str]) -> list[str]:
    """The lines without the index that stands in front of every one of them."""
    _check_order(lines)
    found = [re.match(rf"0*{i}(\s*[:,]\s*|\s+)(?=\S)", line) for i, line in enumerate(lines)]
    if len(lines) < 2 or not all(found):
        return lines
    return [line[match.end() :] for line, match in zip(lines, found, strict=True) if match]
