"""How far a run is, from its output alone, from any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vggbatch.chunks.stats import Stats
from vggbatch.config import Selection
from vggbatch.output.image_total import Total
from vggbatch.output.layout import Output
from vggbatch.output.names import NEXT
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.lease import INTERVAL, Lease, is_renewed, read_lease, read_owner
from vggbatch.output.verify import problems, unmarked
from vggbatch.storage.filesystem import Folder

STALLED = 300.0
"""Seconds without a new chunk after which a running run counts as stalled."""
_WATCHED = 2 * INTERVAL + 1
"""Seconds for which the lease of another machine's run is watched."""
_SHOWN = 3
"""Lines about what is damaged, at most."""


State = Literal["complete", "running", "stalled", "finishing", "interrupted", "damaged"]


@dataclass(frozen=True)
class Status:
    """A run as its output shows it."""

    state: State
    """Finishing: all images are scored, metrics and run.json are being written. Damaged: it was
    complete, and files are missing or not what they were."""
    rows: int
    """Images that are safe."""
    total: int
    """Images in all."""
    exact: bool
    """Whether `total` was counted; it is an estimate while shards are unopened."""
    errors: int
    """Error rows among them, as far as they are known without reading rows."""
    images_per_second: float | None
    """Of the run at work; None where none is."""
    seconds_left: float | None
    holder: str | None
    """Who is at work, or was when the lease fell silent."""
    silence: float | None
    """Seconds since its last sign of life; None where only another machine's clock could say."""
    executor: str | None = None
    """What scores, or scored: `local` or `ray`; None where that is not known."""
    waiting: str | None = None
    """What a run at work said last, when it got nowhere; what is wrong with a damaged output."""
    origin: str | None = None
    """What the output is: a part, a merge, a later generation; None: one run over all its input."""
    adding: int | None = None
    """Images of an append or a retry that are scored and not added yet; None: there is none."""


def read_status(folder: Folder) -> Status:
    """The status of the run in an output.

    Raises:
        UsageError: no run was started there.
    """
    check_confined(folder)
    output = Output(folder)
    progress = output.progress()
    marked = Stats.total(Stats.from_json(m["stats"]) for m in progress.groups.values())
    if output.succeeded():
        wrong = problems(folder)
        if not wrong and output.read_run()["plan"] == output.plan_id:
            wrong = unmarked(output, progress)  # else it just becomes its next generation
        state: State = "damaged" if wrong else "complete"
        return Status(
            state=state,
            rows=progress.rows,
            total=progress.rows + progress.lost_rows,
            exact=True,
            errors=marked.error_rows,
            images_per_second=None,
            seconds_left=None,
            holder=None,
            silence=None,
            executor=None if wrong else output.read_run().get("executor"),
            waiting="; ".join(wrong[:_SHOWN]) or None,
            origin=origin_of(output.read_plan() or {}),
            adding=_adding(folder),
        )
    shards = output.read_shards()
    expected = Total(shards, progress)
    total = max(progress.rows, expected.images)
    lease = read_lease(folder) or _finishing(folder)
    errors, rate, left, waiting = marked.error_rows, None, None, None
    if lease is not None and lease.snapshot is not None:
        errors = max(errors, lease.snapshot.errors)
    state = "interrupted"
    if lease is not None and _alive(folder, lease):
        state = "running"
        if len(progress.groups) == len({group for _, group, _ in shards}):
            state = "finishing"
        elif lease.beat and lease.still_for + (lease.silence() or 0.0) > STALLED:
            state = "stalled"
        if lease.snapshot is not None:
            rate = lease.snapshot.images_per_second
            left = (total - progress.rows) / rate if rate else None
            waiting = lease.snapshot.note
    return Status(
        state=state,
        rows=progress.rows,
        total=total,
        exact=expected.exact,
        errors=errors,
        images_per_second=rate,
        seconds_left=left,
        holder=lease.owner() if lease else None,
        silence=lease.silence() if lease and lease.beat else None,
        executor=lease.snapshot.executor if lease and lease.snapshot else None,
        waiting=waiting,
        origin=origin_of(output.read_plan() or {}),
    )


def origin_of(plan: Mapping[str, Any]) -> str | None:
    """What an output is by its plan.json, in words; None for one run over all of its input."""
    words = []
    wanted = Selection.model_validate(plan.get("select") or {})
    if not wanted.everything:
        words.append(wanted.in_words())
    if "merged" in plan:
        words.append(f"a merge of {len(plan['merged'])} outputs")
    if history := plan.get("history"):
        last = history[-1]
        words.append(
            f"generation {plan.get('generation', 0)}, {last['action']} of {last['finished']}"
        )
    return ", ".join(words) or None


def _adding(folder: Folder) -> int | None:
    if not folder.exists(NEXT):
        return None
    inside = Output(Folder(f"{folder.uri}/{NEXT}"))
    return inside.progress().rows if inside.read_plan() is not None else 0


def _finishing(folder: Folder) -> Lease | None:
    """Who has nothing but _SUCCESS to write: that run has a claim alone, and lives."""
    owner = read_owner(folder)
    return owner if owner is not None and owner.here and owner.process_lives() else None


def _alive(folder: Folder, lease: Lease) -> bool:
    """Whether the driver lives: by its process, or by renewals that are watched."""
    return lease.process_lives() if lease.here else is_renewed(folder, _WATCHED)
