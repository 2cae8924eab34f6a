"""JSON and Python literals that others have written: what is nested too deeply is a ValueError.

Python's own readers raise RecursionError, or MemoryError, for a file of nothing but brackets.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any


def parse(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a JSON document.

    Args:
        text: the document.
        pairs: makes an object of its keys and values; None: a dictionary.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def literal(text: str) -> Any:
    """The value of a Python literal, as a dictionary of classes is often published.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no literal of Python ({type(error).__name__})") from None
