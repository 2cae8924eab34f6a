"""What the footer of each Parquet file of an output says: of which run, network and profile it is.

A file that was copied or joined to a larger table can so be traced to its run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.output.documents.metadata import FORMAT


def footer_of_plan(plan: Mapping[str, Any], profile: str = "") -> dict[str, str]:
    """The entries for the files of a run.

    Args:
        plan: the run's plan.json.
        profile: which further profile's the files are; "": those of the run's own.
    """
    networks = [plan["model"], *plan.get("ensemble", ())] if "model" in plan else []
    return _footer(plan.get("id"), networks, profile or plan.get("profile_used"))


def footer_of_record(record: Mapping[str, Any]) -> dict[str, str]:
    """The entries for the tables of rescored predictions, from what is known of their run.json."""
    networks = [record["model"], *record.get("ensemble", ())] if "model" in record else []
    own = record.get("profile") or next(iter(record.get("profiles", ())), None)
    return _footer(record.get("plan"), networks, own)


def _footer(
    run_id: str | None, networks: Sequence[Mapping[str, Any]], profile: str | None
) -> dict[str, str]:
    digests = [network["sha256"] for network in networks if "sha256" in network]
    entries = {
        "vggbatch.format": str(FORMAT),
        "vggbatch.run_id": run_id,
        "vggbatch.model_sha256": ",".join(digests),
        "vggbatch.profile": profile,
    }
    return {key: value for key, value in entries.items() if value}


def parquet_bytes(table: pa.Table, entries: Mapping[str, str]) -> bytes:
    """A small table as a Parquet file with entries in its footer."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as file:
        file.add_key_value_metadata(dict(entries))
        file.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
