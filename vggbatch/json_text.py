"""JSON that somebody else has written, and that others can read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
Pairs = list[tuple[str, Any]]


def parse(text: str | bytes, of_pairs: Callable[[Pairs], Any] | None = None) -> Any:
    """The value that a JSON text has.

    Args:
        text: the document.
        of_pairs: makes an object of its keys and values; a dict if not given.

    Raises:
        ValueError: it is no JSON (json.JSONDecodeError), or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=of_pairs)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def document(value: Any) -> bytes:
    """A value as an indented JSON document in UTF-8.

    Bytes of file names that are no UTF-8 are there as readable escapes: no JSON can have them.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    readable = _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    return readable.encode() + b"\n"
