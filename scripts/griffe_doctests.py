"""An extension of griffe, which reads docstrings for mkdocstrings: their examples become blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*\S.*)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts the lines from `>>>` to the next empty one between fences."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        """Change the docstring of an object that was found."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
