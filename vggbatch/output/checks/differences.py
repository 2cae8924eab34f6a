"""Where two documents of outputs part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Where two nested values part, a line each: `key: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        return [
            line
            for name in names
            for line in differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if old == new else [f"{key}: {old!r} -> {new!r}"]
