"""YAML from outside: plain values only, small, flat, and any fault in it one ValueError."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

MAX_BYTES = 2**20
"""Of a YAML file; a long configuration has ten thousand."""
_DEPTH = 20
"""Collections inside one another; the configuration has four."""


class _Loader(yaml.SafeLoader):
    """Takes plain values only, and each key of a mapping once: the last would count alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            count = Counter(str(key.value) for key, _ in node.value)
            twice = count.most_common(1)[0][0]
            raise ValueError(f"{twice!r} is there twice (line {node.start_mark.line + 1} and on)")
        return found


def parse_yaml(text: str | bytes) -> Any:
    """The value of a YAML text.

    Aliases are refused: a kilobyte of them stands for gigabytes once the value is written out.

    Raises:
        ValueError: it is not valid YAML, too long or nested too deeply, has aliases, or a key
            twice.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases (*name) are not supported")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH:
                raise ValueError(f"nested more than {_DEPTH} deep")
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (OverflowError, TypeError, AttributeError, LookupError) as error:
        # PyYAML's constructors check little of what a tag like !!float or !!timestamp is put before
        raise ValueError(f"a value does not fit its tag ({type(error).__name__})") from None
