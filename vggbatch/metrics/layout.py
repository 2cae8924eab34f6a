"""Where the metrics tables are below an output, so that any engine can name one of them.

    metrics/summary/part-0.parquet
    metrics/per_class/label_set=ReaL/part-0.parquet          and so the other tables

Label sets are Hive partitions. Of a run that scored several profiles, the profiles are partitions
too, below the label sets: metrics/per_class/label_set=ReaL/profile=squash/part-0.parquet. An
output that was revised has part-1.parquet and so on in their place. Format 1 had
metrics/per_class.parquet for the first label set and a folder of its name for each further one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

METRICS = "metrics"
"""Folder of the metrics tables inside an output."""


def table_name(
    table: str, label_set: str | None = None, profile: str | None = None, generation: int = 0
) -> str:
    """The name of a table's file below its output.

    Args:
        table: per_class, for example.
        label_set: None for the summary, which has a column of that name.
        profile: None where a single one was scored.
        generation: how often the output was revised.
    """
    parts = [METRICS, table]
    if label_set is not None:
        parts.append(f"label_set={_escaped(label_set)}")
    if profile is not None:
        parts.append(f"profile={_escaped(profile)}")
    return "/".join([*parts, f"part-{generation}.parquet"])


def old_table_name(table: str) -> str:
    """The name of a table of the first label set in format 1."""
    return f"{METRICS}/{table}.parquet"


def own_profile(record: Mapping[str, Any]) -> str | None:
    """The partition with an output's own metrics, by its run.json; None if there is one profile."""
    profiles: Sequence[str] = record.get("profiles") or ()
    single = len(profiles) < 2 or record.get("profile") is not None or "rescored" in record
    return None if single else profiles[0]


def _escaped(value: str) -> str:
    """As Hive escapes the values of partitions: ASCII punctuation as %XX, all else as it is."""
    return "".join(quote(char, safe="") if char.isascii() else char for char in value)
