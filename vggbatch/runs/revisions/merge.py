"""Several outputs joined to one, without a look into their rows: `vggbatch merge`.

A merge is a run whose groups are those of the outputs, one behind the other: a group's files are
linked or copied, then its marker is written, so that one that was killed goes on like any run. The
metrics come from the joined rows and from the whole numbers that the files carry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.chunks.stats import Stats
from vggbatch.errors import JobFailed, UsageError
from vggbatch.job.job import input_digest
from vggbatch.output.checks.intact import damage
from vggbatch.output.layout import Output
from vggbatch.output.leftovers import remove_leftovers
from vggbatch.output.names import PREDICTIONS, RUN, SUCCESS
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.verify import declaration, problems, unmarked
from vggbatch.runs.opening import reopen
from vggbatch.runs.revisions.joinable import (
    Joined,
    identity_of,
    inputs_of,
    merged_selection,
    open_joinable,
    renumbered,
)
from vggbatch.runs.revisions.merged_metrics import merged_evaluations, merged_labels, written
from vggbatch.runs.revisions.merged_record import merged_record
from vggbatch.runs.revisions.revision import adopt
from vggbatch.storage.filesystem import Folder
from vggbatch.uris import check_utf8

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
        if there.succeeded() and there.read_plan() is not None and not _wrong(there):
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


def _wrong(target: Output) -> list[str]:
    return problems(target.folder) or unmarked(target, target.progress())


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
    stats = Stats.total(Stats.from_json(marker["stats"]) for marker in markers)
    evaluations = merged_evaluations(joined, found, names)
    for line in merged_labels(found)[1]:
        _log.warning(line)
    records = {}
    for number, name in enumerate(names):
        place = joined.fence_of(name if number else "")
        some = evaluations if number == 0 else {name: evaluations[name]} if evaluations else {}
        record = merged_record(joined, found, name, stats, time.perf_counter() - started)
        record["files"] = files[name]
        record |= written(joined, place, name if number else "", some)
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
