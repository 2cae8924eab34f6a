"""run.json of joined outputs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vggbatch.chunks.stats import Stats
from vggbatch.output.documents import metadata
from vggbatch.output.layout import Output
from vggbatch.runs.revisions.joinable import Joined, inputs_of, merged_selection
from vggbatch.runs.revisions.merged_metrics import merged_labels
from vggbatch.runs.run_record import left_out_in, listed, stats_in, unused_labels_in
from vggbatch.sources.input_warnings import Names, input_warnings_of, merged
from vggbatch.storage.filesystem import public_uri
from vggbatch.versions import __version__


def merged_record(
    joined: Output, found: Sequence[Joined], profile: str, stats: Stats, seconds: float
) -> dict[str, Any]:
    """run.json but for its files and metrics."""
    folders = [
        one.output.folder if not number else one.output.profile(profile)
        for number in (found[0].source.record["profiles"].index(profile),)
        for one in found
    ]
    records = [Output(folder).read_run() for folder in folders]
    first = records[0]
    labels, unread = merged_labels(found)
    config = {
        **first["config"],
        "labels": labels,
        "input": inputs_of(found),
        "output": public_uri(joined.folder.uri),
        "select": merged_selection(found),
    }
    unused: dict[str, Names] = {}
    for record in records:
        unused = merged(
            unused, {k.what: Names(k.count, k.examples) for k in unused_labels_in(record)}
        )
    first.pop("history", None)
    return {
        **first,
        "format": metadata.FORMAT,
        "plan": joined.plan_id,
        "run_id": joined.plan_id,
        "vggbatch": __version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        "warnings": list(
            dict.fromkeys([w for r in records for w in r.get("warnings", ())] + unread)
        ),
        **stats_in(stats),
        "rates": {
            "images_per_second": 0.0,
            "images_this_run": 0,
            "wall_seconds": round(seconds, 3),
        },
        "left_out": listed(_left_out(found, stats)),
        "unused_labels": listed(input_warnings_of(unused)),
        "executor": None,
        "placement": None,
        "merged": [
            {
                "output": public_uri(one.uri),
                "run_id": one.plan["id"],
                "finished": one.source.record["finished"],
                "images": one.source.record["counts"]["images"],
                "select": one.selection.model_dump(mode="json"),
            }
            for one in found
        ],
        "this_run": {"run_id": joined.plan_id, "images": 0},
    }


def _left_out(found: Sequence[Joined], stats: Stats) -> Any:
    """What is no row: of the listing, which all parts share, and of the shards of each."""
    listing: dict[str, Names] = {}
    for one in found if found[0].selection.part is None else found[:1]:
        own = Stats.total(Stats.from_json(m["stats"]) for m in one.markers.values()).left_out
        for kind in left_out_in(one.source.record):
            count = kind.count - own.get(kind.what, Names()).count
            if count > 0:
                listing = merged(listing, {kind.what: Names(count, kind.examples)})
    return input_warnings_of(merged(listing, stats.left_out))
