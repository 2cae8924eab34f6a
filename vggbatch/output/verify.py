"""Whether an output may be believed: finished, and with every file that it names.

_SUCCESS names the plan and has digests of run.json and of the files that it lists, so that one that
belongs to another run says nothing, nor one whose run.json was damaged and can still be read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from vggbatch.errors import UsageError
from vggbatch.output.checks.intact import damage
from vggbatch.output.documents import metadata
from vggbatch.output.image_total import Total
from vggbatch.output.layout import Output
from vggbatch.output.names import PREDICTIONS, PROFILES, RUN, SUCCESS
from vggbatch.output.progress import Progress
from vggbatch.storage.filesystem import Folder

_SHOWN = 3
_READINGS = 3
"""How often the two documents of an output are read until they are of one run."""


def declaration(record: dict[str, Any]) -> dict[str, Any]:
    """The content of _SUCCESS for a run.json."""
    listed = [record.get("plan"), record.get("files"), metadata.tables_of(record)]
    return {
        "format": record["format"],
        "plan": record.get("plan"),
        "files_sha256": _digest(listed),
        "record_sha256": _digest(record),
    }


def _digest(value: Any) -> str:
    """Of what is written as JSON and of what is read from there alike."""
    read = json.loads(json.dumps(value, default=str))
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def problems(folder: Folder) -> list[str]:
    """What is wrong with an output that has _SUCCESS, a line each; nothing: it is complete.

    Raises:
        UsageError: it was written by a version whose files this one cannot read.
    """
    output = Output(folder)
    for _ in range(_READINGS):
        read: list[dict[str, Any]] = []
        for name, document in ((RUN, metadata.run), (SUCCESS, metadata.success)):
            try:
                read.append(document(folder.read_bytes(name), f"{folder.uri}/{name}"))
            except FileNotFoundError:
                return [f"{name} is missing"]
            except metadata.Damaged as error:
                return [f"{name} is damaged ({error.reason})"]
        record, declared = read
        if _vouches(declared, record):
            break  # else it may just have become its next generation
    else:
        return [f"{SUCCESS} is of another run than {RUN}, or one of them is damaged"]
    found = _lines(folder, [*record.get("files", ()), *(metadata.tables_of(record) or ())])
    if "rescored" in record or record["profile"] is not None:
        return found
    plan = output.read_plan()
    if plan is not None and record["plan"] not in (plan["id"], plan.get("revises")):
        found.append(f"{RUN} is of another run than the plan")
    for name in record["profiles"][1:]:
        found += [f"{PROFILES}/{name}/{line}" for line in problems(output.profile(name))]
    return found


def unmarked(output: Output, progress: Progress) -> list[str]:
    """Where run.json and the markers of a complete output part, a line each.

    Those who read rows need no markers, and those who add or remove rows go by them.

    Args:
        output: what has no `problems`, and a plan.
        progress: of its markers.

    Raises:
        UsageError: its documents cannot be read.
    """
    record = output.read_run()
    if record["plan"] != output.plan_id:
        return [f"{RUN} is of another generation than the plan"]
    named = Counter(file["name"] for m in progress.groups.values() for file in m["files"])
    listed = {file["name"]: 1 for file in record["files"]}
    missing = [f"{name} is in no marker of a group" for name in listed if name not in named]
    others = [
        f"markers name {name} {count} times, and {RUN} {listed.get(name, 0)}"
        for name, count in named.items()
        if count != listed.get(name, 0)
    ]
    return progress.lost or [*missing, *others]


def _vouches(declared: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether _SUCCESS is of a run.json, or while that is replaced of the one to come."""
    wanted = declaration(record)
    # earlier versions had no digest of the record
    return any(
        all(found.get(key, value) == value for key, value in wanted.items())
        for found in (declared, declared.get("next"))
        if found is not None
    )


def is_vouched(folder: Folder) -> bool:
    """Whether run.json may be as it was written: no _SUCCESS says otherwise."""
    try:
        declared = metadata.success(folder.read_bytes(SUCCESS), SUCCESS)
        return _vouches(declared, metadata.run(folder.read_bytes(RUN), RUN))
    except (FileNotFoundError, metadata.Damaged):
        return True


def believe(folder: Folder, *, partial: bool = False) -> str | None:
    """Make sure that the rows of an output are all there.

    Args:
        folder: an output, or any folder that has predictions/*.parquet.
        partial: take the rows of an unfinished run.

    Returns:
        With `partial`: how many of how many rows are there, if not all.

    Raises:
        UsageError: it is not finished, or files are missing or damaged.
    """
    output = Output(folder)
    if folder.exists(SUCCESS):
        if wrong := problems(folder):
            raise _damaged(folder, wrong)
        return None
    if folder.exists(RUN):
        # all is scored; what failed was its limit of errors, if it was not killed just then, or
        # while it wrote metrics again, which are others then than run.json says
        record = output.known_of_run()
        if "rescored" in record:
            raise UsageError(
                f"{folder.uri} is not finished: repeat the command that began to rescore into it"
            )
        named = [*record.get("files", ()), *(record.get("tables") or ())]
        if wrong := _lines(folder, named if "format" in record else ()):
            raise _damaged(folder, wrong)
        return None
    whole = _run_of_profile(folder)
    if output.read_plan() is None and whole is None:
        return None
    progress = (whole or output).progress()
    total = Total((whole or output).read_shards(), progress)
    images = max(total.images, progress.rows + progress.lost_rows)
    of = f"of {'' if total.exact else '~'}{images:,} images"
    if partial:
        return (
            f"{folder.uri} is not finished: {progress.grouped_rows:,} {of} are in its predictions"
        )
    raise UsageError(
        f"{folder.uri} is not finished: {progress.rows:,} {of} are scored and safe. Repeat the "
        "command that began it, which does what is left"
    )


def prediction_names(folder: Folder) -> list[str]:
    """The predictions files of an output, in order: those that it names, else all there are."""
    output = Output(folder)
    record = output.known_of_run()
    if "format" in record and "files" in record:
        return sorted(file["name"] for file in record["files"])
    whole = _run_of_profile(folder)
    if output.read_plan() is not None or whole is not None:
        markers = (whole or output).progress().groups.values()
        return sorted(file["name"] for marker in markers for file in marker["files"])
    return [info.path for info in folder.list(PREDICTIONS, suffix=".parquet")]


def _run_of_profile(folder: Folder) -> Output | None:
    """The unfinished run whose further profile a folder is; None if it is no such folder."""
    above, _, place = folder.uri.rpartition(f"/{PROFILES}/")
    if not above or not place or "/" in place:
        return None
    output = Output(Folder(above))
    plan = output.read_plan()
    return output if plan is not None and place in plan.get("profiles", ()) else None


def _lines(folder: Folder, files: Any) -> list[str]:
    return [f"{name} {what}" for name, what in sorted(damage(folder, files).items())]


def _damaged(folder: Folder, wrong: list[str]) -> UsageError:
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return UsageError(
        f"{folder.uri} is not whole: {'; '.join(wrong[:_SHOWN])}{more}. Repeat the command that "
        "made it, which makes again what is missing"
    )
