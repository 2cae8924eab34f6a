"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vggbatch.errors import VggbatchError

if TYPE_CHECKING:
    from vggbatch.pipeline.tally import Snapshot

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_SECONDS_BETWEEN_LINES = 10.0


def failure(message: str) -> None:
    """One line that says what is wrong."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def warning(message: str) -> None:
    """One line that the user should not miss."""
    err.print(f"[bold yellow]warning:[/] {escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    """One line on what is going on."""
    err.print(escape(message), soft_wrap=True)


def set_verbosity(verbose: bool) -> None:
    """With -v, Ray's and vggbatch's own log lines are shown."""
    if verbose:
        logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
        logging.getLogger("vggbatch").setLevel(logging.DEBUG)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C into one line and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None


class Interrupted(VggbatchError):
    """The user pressed Ctrl-C."""

    exit_status = 130

    def __init__(self) -> None:
        super().__init__(
            "interrupted: what is committed stays, the same command goes on from there"
        )


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each; values are never cut, so that paths can be copied."""
    lines = list(rows)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        out.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: `0:01:05`."""
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours}:{minutes:02d}:{int(seconds) % 60:02d}"


def plural(count: int, noun: str) -> str:
    """`1 shard`, `2,000 shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int], None]]:
    """A listener for (bytes done, bytes in all) that draws a bar on a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress() -> Iterator[Callable[[Snapshot], None]]:
    """A listener that draws a bar on a terminal and prints plain lines elsewhere."""
    if err.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        ) as bar:
            task = bar.add_task("starting", total=None, rate="")

            def draw(snapshot: Snapshot) -> None:
                if snapshot.note:
                    note(snapshot.note)
                bar.update(
                    task,
                    description="scoring",
                    total=snapshot.total,
                    completed=snapshot.rows,
                    rate=_rate(snapshot),
                )

            yield draw
        return
    last = time.monotonic()

    def line(snapshot: Snapshot) -> None:
        nonlocal last
        if snapshot.note:
            note(snapshot.note)
            return
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES and snapshot.rows < snapshot.total:
            return
        last = time.monotonic()
        note(
            f"{snapshot.rows} of about {snapshot.total} images, {_rate(snapshot)}{_left(snapshot)}"
        )

    yield line


def _rate(snapshot: Snapshot) -> str:
    errors = f", {snapshot.errors} errors" if snapshot.errors else ""
    return f"{snapshot.images_per_second:.1f} images/s{errors}"


def _left(snapshot: Snapshot) -> str:
    if snapshot.images_per_second <= 0:
        return ""
    seconds = (snapshot.total - snapshot.rows) / snapshot.images_per_second
    return f", {duration(seconds)} left"
