"""Several outputs joined to one, without a look into their rows: `vggbatch merge`.

A merge is a run whose groups are those of the outputs, one behind the other: a group's files are
linked or copied, then its marker is written, so that one that was killed goes on like any run. The
metrics come from the joined rows and from the whole numbers that the files carry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.stats import Stats
from vggbatch.errors import JobFailed, UsageError
from vggbatch.job.job import input_digest
from vggbatch.metrics.evaluate import Evaluation, evaluate_predictions, write_metrics
from vggbatch.metrics.recorded import labels_to_read
from vggbatch.metrics.sets import label_sets
from vggbatch.output import metadata
from vggbatch.output.confined import check_confined
from vggbatch.output.fence import Fence
from vggbatch.output.footer import footer_of_plan
from vggbatch.output.intact import damage
from vggbatch.output.layout import PREDICTIONS, RUN, SUCCESS, Output
from vggbatch.output.lease import OutputLease
from vggbatch.output.leftovers import remove_leftovers
from vggbatch.output.verify import declaration, problems
from vggbatch.runs.joinable import (
    Joined,
    identity_of,
    inputs_of,
    merged_selection,
    open_joinable,
    renumbered,
)
from vggbatch.runs.opening import reopen
from vggbatch.runs.revision import adopt
from vggbatch.runs.run_record import left_out_in, listed, stats_in, unused_labels_in
from vggbatch.sources.input_warnings import Names, input_warnings_of, merged
from vggbatch.storage.filesystem import Folder, public_uri
from vggbatch.uris import check_utf8
from vggbatch.versions import __version__

_log = logging.getLogger(__name__)


def merge(uris: Sequence[str], output: str, *, overwrite: bool = False) -> dict[str, Any]:
    """Join outputs; does nothing if that is done.

    Args:
        uris: finished outputs: all parts of one input, or of inputs that have no image in common.
        output: gets the rows of all; a new folder.
        overwrite: delete what is in the output and start again.

    Returns:
        run.json of the joined output.

    Raises:
        UsageError: they do not belong together, or the output holds something else.
        JobFailed: another run has taken the output over.
    """
    started = time.perf_counter()
    target = Folder(output)
    check_utf8(target.uri)
    check_confined(target)
    if target.uri in {Folder(uri).uri for uri in uris}:
        raise UsageError(f"{output} is one of the outputs: name another one for all of them")
    found = open_joinable(uris)
    for one in found:
        one.source.seen.check()  # all that was read is of one run; its files have digests
    there = Output(target)
    if not overwrite:
        _check_target(there, found)
        if there.succeeded() and there.read_plan() is not None and not problems(target):
            remove_leftovers(there)
            return there.read_run()
    with OutputLease(target) as lease:
        joined = Output(target, fence=lease.fence)
        if overwrite:
            joined.clear()
        shards = _shards(found)
        if joined.read_plan() is None:
            own = all(one.source.own for one in found)
            joined.write_plan(_plan(found, shards), shards, own=own)
        progress = joined.progress()
        reopen(joined, progress)
        markers = []
        for one, groups, numbers in renumbered(found):
            for group, marker in one.markers.items():
                done = progress.groups.get(group + groups)
                markers.append(done or adopt(joined, one.output, marker, group, groups, numbers))
        return _finish(joined, lease, found, markers, started)


def _check_target(target: Output, found: Sequence[Joined]) -> None:
    """Raise UsageError if the output holds anything but this merge."""
    plan = target.read_plan()
    if plan is None and target.folder.list(PREDICTIONS):
        raise UsageError(f"{target.folder.uri} has predictions already: name a new folder")
    if plan is not None and plan.get("merged") != identity_of(found):
        raise UsageError(
            f"{target.folder.uri} has another run or the merge of other outputs in it: name a new "
            "folder, or --overwrite to start again"
        )


def _shards(found: Sequence[Joined]) -> list[NumberedShard]:
    return [
        (number + numbers, group + groups, shard)
        for one, groups, numbers in renumbered(found)
        for number, group, shard in one.shards
    ]


def _plan(found: Sequence[Joined], shards: Sequence[NumberedShard]) -> dict[str, Any]:
    own = ("id", "format", "whole_input", "generation", "revises", "history")
    kept = {key: value for key, value in found[0].plan.items() if key not in own}
    kept |= {
        "input": inputs_of(found),
        "shards": len(shards),
        "input_digest": input_digest(shard for _, _, shard in shards),
        "merged": identity_of(found),
    }
    if found[0].selection.some:
        kept["select"] = merged_selection(found)
    else:
        kept.pop("select", None)
    return kept


def _finish(
    joined: Output,
    lease: OutputLease,
    found: Sequence[Joined],
    markers: Sequence[dict[str, Any]],
    started: float,
) -> dict[str, Any]:
    """Metrics, run.json and, last of all, _SUCCESS."""
    names: list[str] = found[0].source.record["profiles"]
    files = {
        name: [
            file
            for marker in markers
            for file in (marker["profiles"].get(name, ()) if number else marker["files"])
        ]
        for number, name in enumerate(names)
    }
    joined.drop_strays({file["name"] for some in files.values() for file in some})
    stats = sum((Stats.from_json(marker["stats"]) for marker in markers), Stats())
    evaluations = _evaluations(joined, found, names)
    for line in _labels(found)[1]:
        _log.warning(line)
    records = {}
    for number, name in enumerate(names):
        place = joined.fence_of(name if number else "")
        some = evaluations if number == 0 else {name: evaluations[name]} if evaluations else {}
        record = _record(joined, found, name, stats, time.perf_counter() - started)
        record["files"] = files[name]
        record |= _written(joined, place, name if number else "", some)
        records[name] = record
    for number, name in reversed(list(enumerate(names))):
        place = joined.fence_of(name if number else "")
        folder = joined.profile(name) if number else joined.folder
        if wrong := damage(folder, [*records[name]["files"], *(records[name]["tables"] or ())]):
            broken, what = next(iter(wrong.items()))
            raise JobFailed(f"{folder.uri}/{broken} {what}: run the same command again")
        place.write_json(RUN, records[name])
    lease.end_renewals()
    for number, name in reversed(list(enumerate(names))):
        place = joined.fence_of(name if number else "")
        place.create_json(SUCCESS, declaration(records[name]))
    return records[names[0]]


def _evaluations(
    joined: Output, found: Sequence[Joined], names: Sequence[str]
) -> dict[str, Evaluation]:
    """Metrics by profile, if all of the outputs have them and any image was scored."""
    source = found[0].source
    if any(one.source.record["metrics"] is None for one in found):
        return {}
    specs, _ = _labels(found)
    if not specs:
        return {}
    sets = label_sets(
        specs,
        joined.folder,
        source.class_lines,
        recorded=source.record["row_labels"],
        options=source.options(specs),
    )
    return {
        name: evaluate_predictions(
            joined.profile(name) if number else joined.folder,
            sets,
            class_lines=source.class_lines,
            published=source.published(),
            errors=source.record["config"].get("errors", "wrong"),
        )
        for number, name in enumerate(names)
    }


def _labels(found: Sequence[Joined]) -> tuple[list[str], list[str]]:
    """The label sets of the joined rows; see `labels_to_read`."""
    return labels_to_read(found[0].source.record, own=all(one.source.own for one in found))


def _written(
    joined: Output, place: Fence, profile: str, evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    """Write the metrics of an output, and what run.json says of them."""
    if not evaluations:
        place.delete_tree("metrics")
        return {"metrics": None, "tables": None}
    plan = joined.read_plan() or {}
    own, *_ = evaluations
    footers = {name: footer_of_plan(plan, "" if name == own else name) for name in evaluations}
    if profile:
        footers = {own: footer_of_plan(plan, profile)}
    tables = write_metrics(place, evaluations, footers)
    return {"metrics": evaluations[own].lines() if tables else [], "tables": tables}


def _record(
    joined: Output, found: Sequence[Joined], profile: str, stats: Stats, seconds: float
) -> dict[str, Any]:
    """run.json but for its files and metrics."""
    folders = [
        one.source.folder if not number else one.output.profile(profile)
        for number in (found[0].source.record["profiles"].index(profile),)
        for one in found
    ]
    records = [Output(folder).read_run() for folder in folders]
    first = records[0]
    labels, unread = _labels(found)
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
        own = sum((Stats.from_json(m["stats"]) for m in one.markers.values()), Stats()).left_out
        for kind in left_out_in(one.source.record):
            count = kind.count - own.get(kind.what, Names()).count
            if count > 0:
                listing = merged(listing, {kind.what: Names(count, kind.examples)})
    return input_warnings_of(merged(listing, stats.left_out))
