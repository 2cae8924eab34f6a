"""What may be found in a complete output that is none of its files.

A command that is killed at its very end leaves its claim. In an object store, the last request of a
driver that was paused may arrive when another one has finished: a file that nothing names and no
reader looks at. The next command on the output removes both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from vggbatch.errors import UsageError
from vggbatch.output.documents.metadata import tables_of
from vggbatch.output.layout import Output, is_partial, is_plan_id
from vggbatch.output.names import NEXT, PLAN, PREDICTIONS, PROFILES, RUN, STATE, SUCCESS
from vggbatch.output.ownership import lease
from vggbatch.output.ownership.claim import is_of_claims
from vggbatch.output.ownership.fence import Fence, LeaseLost

_METRICS = "metrics"
RECORDS = "records.json"
"""Of a generation's state, while the output becomes it (see switch.py)."""


def leftovers(output: Output) -> list[str]:
    """What is to be removed from a complete output, from listings alone; folders end with a slash.

    Raises:
        UsageError: its documents cannot be read.
    """
    found = dict.fromkeys(_of_state(output))
    plan = output.read_plan() or {}
    known = list(plan.get("profiles", ()))[1:]
    for profile in ("", *output.folder.folders(PROFILES)):
        place = Output(output.profile(profile)) if profile else output
        prefix = f"{PROFILES}/{profile}/" if profile else ""
        ours = not profile or profile in known
        found |= dict.fromkeys(prefix + name for name in _of_rows(place, ours=ours))
    return list(found)


def remove_leftovers(output: Output) -> None:
    """Remove what is left over in a complete output, unless a run may be at work on it.

    It is not opened again, and so nothing else would.
    """
    if not leftovers(output) or not lease.is_abandoned(output.folder):
        return
    # another run may begin at the same time, or the output be read-only
    with suppress(OSError, LeaseLost, UsageError), lease.OutputLease(output.folder) as held:
        if output.succeeded():
            sweep(output, held.fence)


def sweep(output: Output, fence: Fence) -> None:
    """Remove what is left over in a complete output, but for the lease under which this is done.

    Args:
        output: as any reader sees it.
        fence: of that lease.

    Raises:
        LeaseLost: another run has taken the output over.
    """
    for name in set(leftovers(output)) - {lease.NAME, f"{fence.claim}/"}:
        if name.endswith("/"):
            fence.delete_tree(name[:-1])
        else:
            fence.delete(name)


def _of_state(output: Output) -> Iterator[str]:
    own = f"{STATE}/{output.plan_id}"
    coming: set[str] = set()
    for path in output.folder.walk(STATE):
        first, *rest = path.removeprefix(f"{STATE}/").split("/")
        top = f"{STATE}/{first}"
        if top == own:
            if rest[:1] == ["staging"]:
                yield f"{own}/staging/"
            elif is_partial(path) or rest == [RECORDS]:
                yield path
        elif is_plan_id(first) or is_of_claims(first):
            yield f"{top}/"
        elif top == NEXT:
            coming.add("/".join(rest[:1] + rest[-1:]))
        elif not rest and (path == lease.NAME or is_partial(path)):
            yield path
    # what is to be added has both from its beginning; else it is a late request's alone
    if coming and not {PLAN, f"{STATE}/shards.parquet"} <= coming:
        yield f"{NEXT}/"


def _of_rows(output: Output, *, ours: bool) -> Iterator[str]:
    """What is beside the rows of a profile that run.json names; all, of a profile of no run."""
    named: set[str] = set()
    if ours:
        record = output.read_run()
        listed = [*record["files"], *(tables_of(record) or ())]
        named = {file["name"] for file in listed}
    else:
        yield from (name for name in (RUN, SUCCESS) if output.folder.exists(name))
    for info in output.folder.list(PREDICTIONS):
        last = info.path.rsplit("/", 1)[-1]
        if last.startswith(("part-", ".part-")) and info.path not in named:
            yield info.path
    for path in output.folder.walk(_METRICS):
        if path.endswith((".parquet", ".partial")) and path not in named:
            yield path
