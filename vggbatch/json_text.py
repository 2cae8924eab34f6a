"""JSON that somebody else has written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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
