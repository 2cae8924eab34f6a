"""Images are taken out of a complete output: `vggbatch forget`.

Their rows, and with them their features, go; files that have none of them stay. The metrics are
computed for the rest. Pages, which show pictures, are removed: `vggbatch report` makes them again.
What remains is a count.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from vggbatch.chunks.stats import Stats
from vggbatch.errors import UsageError
from vggbatch.metrics.evaluate import Evaluation, evaluate_predictions, write_metrics
from vggbatch.metrics.recorded import labels_to_read
from vggbatch.metrics.rescore import Source, open_source
from vggbatch.metrics.sets import label_sets
from vggbatch.output.documents import metadata
from vggbatch.output.footer import footer_of_plan
from vggbatch.output.layout import Output
from vggbatch.output.names import NEXT
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.output.switch import remove_earlier, switch
from vggbatch.output.verify import unmarked
from vggbatch.output.without import files_with
from vggbatch.runs.revisions.revision import Change, prepare, take_out
from vggbatch.runs.revisions.settling import settle
from vggbatch.runs.run_record import stats_in
from vggbatch.sources import Shard, reader_for
from vggbatch.sources.base import DAMAGED
from vggbatch.storage.filesystem import Folder

_log = logging.getLogger(__name__)

_SHOWN = 3
PAGES = ("report.html", "comparison.html")


def forget(uri: str, images: Collection[str]) -> int:
    """Take images out of an output; those that it does not have are none of its.

    Args:
        uri: a finished output, not that of a further profile.
        images: image ids.

    Returns:
        How many rows were there, and are no more.

    Raises:
        UsageError: it is not the whole output of a finished run, or another command writes it.
    """
    folder = Folder(uri)
    settle(Output(folder))
    source = open_source(folder)
    there = Output(folder)
    plan = there.read_plan()
    if plan is None or not there.succeeded():
        raise UsageError(f"{uri} is not the output of a finished run, with its _vggbatch folder")
    if plan["format"] != metadata.FORMAT:
        raise UsageError(f"{uri} was made by an earlier version of vggbatch: score it again")
    with OutputLease(folder) as lease:
        output = Output(folder, fence=lease.fence)
        lease.fence.delete_tree(NEXT)  # of an interrupted append, which may have scored them
        if wrong := unmarked(output, output.progress()):
            raise UsageError(f"{uri} is not whole: {wrong[0]}. Repeat the command that made it")
        found = _found(output, set(images))
        if missing := sorted(set(images) - found):
            shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            _log.warning(
                "%d of the named images have no row in %s: %s", len(missing), folder.uri, shown
            )
        if not found:
            _remove_pages(output)
            remove_earlier(output)  # which one has left that was killed at its end
            return 0
        kept, ids, numbers = take_out(output.read_shards(), found, _members if source.own else None)
        change = Change("forget", kept, ids, numbers, {"removed": len(found)})
        record = output.read_run()
        new, revised, markers = prepare(output, change, record, None)
        records = _records(new, revised, record, source, markers, found)
        _remove_pages(output)
        lease.end_renewals()
        switch(new, revised, records)
    return len(found)


def _found(output: Output, images: set[str]) -> set[str]:
    """Those of the images that have a row."""
    return {
        name
        for marker in output.progress().groups.values()
        for inside in files_with(output, marker, images, shards=False).values()
        for name in inside
    }


def _members(shard: Shard) -> pa.Table | None:
    """What is in a shard, so that it is recorded without what goes; None if that cannot be read."""
    try:
        members = reader_for(shard.format).members(shard)
    except OSError:
        return None
    return None if DAMAGED in members["name"].to_pylist() else members


def _remove_pages(output: Output) -> None:
    for profile in ("", *output.folder.folders("profiles")):
        for page in PAGES:
            output.fence_of(profile).delete(page)


def _records(
    new: Output,
    plan: dict[str, Any],
    before: dict[str, Any],
    source: Source,
    markers: Sequence[dict[str, Any]],
    images: Collection[str],
) -> dict[str, dict[str, Any]]:
    """run.json of each profile, and its metrics where there were any."""
    names: list[str] = before["profiles"]
    stats = Stats.total(Stats.from_json(marker["stats"]) for marker in markers)
    folders = [new.profile(name) if n else new.folder for n, name in enumerate(names)]
    files = [
        [f for m in markers for f in (m["profiles"].get(name, ()) if n else m["files"])]
        for n, name in enumerate(names)
    ]
    evaluations: dict[str, Evaluation] = {}
    if before["metrics"] is not None and stats.rows > stats.error_rows:
        specs, unread = labels_to_read(before, own=source.own)
        for line in unread:
            _log.warning(line)
        sets = label_sets(
            specs,
            new.folder,
            source.class_lines,
            recorded=before["row_labels"],
            options=source.options(specs),
        )
        evaluations = {
            name: evaluate_predictions(
                folder,
                sets,
                class_lines=source.class_lines,
                published=source.published(),
                errors=before["config"].get("errors", "wrong"),
                files=[file["name"] for file in some],
            )
            for name, folder, some in zip(names, folders, files, strict=True)
            if specs
        }
    records = {}
    for number, (name, folder) in enumerate(zip(names, folders, strict=True)):
        record = before if not number else Output(folder).read_run()
        profile = name if number else ""
        some = evaluations if not number else {name: evaluations[name]} if evaluations else {}
        footers = {other: footer_of_plan(plan, profile or _further(other, names)) for other in some}
        place = new.fence_of(profile)
        generation = plan["generation"]
        tables = write_metrics(place, some, footers, generation, beside=True) if some else None
        records[profile] = {
            **record,
            "plan": new.plan_id,
            "run_id": new.plan_id,
            "finished": plan["history"][-1]["finished"],
            "warnings": [w for w in record.get("warnings", ()) if not _names_any(w, images)],
            **stats_in(stats),
            "files": files[number],
            "metrics": evaluations[name].lines() if tables else None,
            "tables": tables,
            "history": plan["history"],
        }
    return records


def _further(name: str, names: Sequence[str]) -> str:
    return "" if name == names[0] else name


def _names_any(text: str, images: Collection[str]) -> bool:
    return any(name in text for name in images)
