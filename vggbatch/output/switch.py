"""How a complete output becomes its next generation: it is complete before, between and after.

The next generation has an ID and a state of its own, its rows lie in files of other names, and its
documents are written beside the state, `ID/records.json`, before anything is switched:

    plan.json    the new plan, which says which one it `revises`
    _SUCCESS     vouches for run.json as it is, and in `next` for the one to come
    run.json     the new one
    _SUCCESS     vouches for that alone

Each replaces a whole file. A reader goes by run.json, whichever it finds, and all files that either
names are there until the end. A switch that was begun is completed by the next command that writes.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from vggbatch import json_text
from vggbatch.output.documents import metadata
from vggbatch.output.layout import Output
from vggbatch.output.leftovers import RECORDS, sweep
from vggbatch.output.names import PLAN, PROFILES, RUN, STATE, SUCCESS
from vggbatch.output.verify import declaration


def is_unfinished(output: Output) -> bool:
    """Whether a switch was begun and not completed."""
    plan = output.read_plan()
    if plan is None or plan.get("revises") is None or not output.succeeded():
        return False
    records = _records(output, plan)
    return records is not None and any(
        _document(output, profile, SUCCESS) != declaration(record)
        for profile, record in records.items()
    )


def switch(output: Output, plan: dict[str, Any], records: dict[str, dict[str, Any]]) -> None:
    """Make a generation that is wholly prepared the one that is read.

    Args:
        output: with the ID of the new generation and the right to write.
        plan: its plan.json.
        records: its run.json by profile; that of the output itself is under "".
    """
    name = f"{STATE}/{output.plan_id}/{RECORDS}"
    output.fence.write_json(name, {"format": metadata.FORMAT, "records": records})
    output.fence.write_json(PLAN, plan)
    complete_switch(output)


def complete_switch(output: Output) -> None:
    """Do what is left of a switch, and remove what only the generation before had."""
    plan = output.read_plan() or {}
    records = _records(output, plan)
    assert records is not None, "a switch has its records"
    # that of the output itself last: it is the one that says that all is done
    for profile, record in reversed(records.items()):
        place = output.fence_of(profile)
        final = declaration(record)
        there = _document(output, profile, RUN)
        if there != json.loads(json.dumps(record, default=str)):
            if there is None:
                raise metadata.foreign(f"{place.folder.uri}/{place.prefix}{RUN}", "it is missing")
            place.write_json(SUCCESS, {**declaration(there), "next": final})
            place.write_json(RUN, record)
        place.write_json(SUCCESS, final)
    remove_earlier(output)


def remove_earlier(output: Output) -> None:
    """Remove what no document of the output names any more; under its lease."""
    sweep(Output(output.folder, fence=output.fence), output.fence)


def _records(output: Output, plan: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    name = f"{STATE}/{plan['id']}/{RECORDS}"
    try:
        data = json_text.parse(output.folder.read_bytes(name))
        records: dict[str, dict[str, Any]] = data["records"]
        # its folders are written into, and the file may be anybody's
        if list(records) != ["", *list(plan.get("profiles", ()))[1:]]:
            raise ValueError("it has other profiles than the plan")
        for profile, record in records.items():
            metadata.run(json.dumps(record).encode(), f"{output.folder.uri}/{name}: {profile}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise metadata.foreign(f"{output.folder.uri}/{name}", error) from None
    return records


def _document(output: Output, profile: str, name: str) -> dict[str, Any] | None:
    path = f"{PROFILES}/{profile}/{name}" if profile else name
    try:
        data = output.folder.read_bytes(path)
    except FileNotFoundError:
        return None
    if name == RUN:
        return metadata.run(data, f"{output.folder.uri}/{path}")
    with suppress(metadata.Damaged):
        return metadata.success(data, f"{output.folder.uri}/{path}")
    return {}  # it vouches for nothing
