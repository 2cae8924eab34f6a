"""Tables of Delta Lake, Iceberg and Hudi: Parquet files of which a log says whether they count."""

from __future__ import annotations

import re
from collections.abc import Collection

_LOGS = (
    (re.compile(r"(^|/)_delta_log/\d+\.(json|checkpoint.*\.parquet)$"), "Delta Lake"),
    (re.compile(r"(^|/)metadata/(v\d+|\d{5}-[0-9a-f-]{36})(\.gz)?\.metadata\.json$"), "Iceberg"),
)
_HUDI = "_hoodie_commit_time"
"""A column of every table of Hudi, whose log is in a hidden folder."""


def format_of(name: str) -> str | None:
    """Whose log a file is, by its name; None if it is none."""
    if not name.endswith((".json", ".parquet")):
        return None
    return next((table for log, table in _LOGS if log.search(name)), None)


def format_with(columns: Collection[str]) -> str | None:
    """Whose table it is that has these columns; None if they do not say."""
    return "Hudi" if _HUDI in columns else None


def advice(table: str) -> str:
    """What to do with one: to be read after its name."""
    return (
        f"is a table of {table}, whose log says which of its files and rows still count: write "
        "the version that you mean to Parquet files of its own, or name the files that count"
    )
